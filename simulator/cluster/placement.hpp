#pragma once
/// Where the ranks of a run sit, and what that means for each of its communication groups.
///
///   const Placement placement(parse_rank_order("megatron"), {8, 1, 1, 16, 4});  // tp 8, dp 16, pp 4
///   placement.members(0, std::array{RankDimension::data});                      // 0, 8, 16, ... 120
///   placement.shape(cluster, std::array{RankDimension::data});                  // 16 ranks, one in each domain
///
/// Megatron's order: tensor fastest, then context, (expert,) data, pipeline; rank = tp + t (cp + c (dp + D pp)).

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/cluster/cluster.hpp"

namespace stepcast {

/// A group of ranks as a collective sees it.
struct GroupShape {
  std::int64_t ranks = 1;
  std::int64_t per_domain = 1;  ///< members that share an NVLink domain

  std::int64_t domains() const { return (ranks + per_domain - 1) / per_domain; }
  bool crosses_network() const { return ranks > per_domain; }

  bool operator==(const GroupShape&) const = default;
};

/// The shape of a group of `ranks` ranks whose members are `stride` apart in rank order.
GroupShape group_shape(const Cluster& cluster, std::int64_t ranks, std::int64_t stride);

/// Ranks from `first` to `last`, both included.
struct RankRange {
  std::int64_t first = 0;
  std::int64_t last = 0;

  std::int64_t count() const { return last - first + 1; }
};

/// Parses "0-63" or "0,8,16-23"; the ranges in ascending order. Costs its text's length, however many ranks it names.
/// @throws UserError when it is no such list, names a rank twice or one that the cluster does not have
std::vector<RankRange> parse_ranks(std::string_view text, std::int64_t gpus);

/// The shape of the group of these ranks.
GroupShape group_shape(const Cluster& cluster, std::span<const RankRange> ranks);

/// True when ranks `stride` apart sit in different NVLink domains.
bool distance_crosses_network(const Cluster& cluster, std::int64_t stride);

/// A dimension of parallelism as rank orders name it.
enum class RankDimension : std::uint8_t { tensor, context, expert, data, pipeline };
inline constexpr int rank_dimensions = 5;

/// The degree of each dimension, by RankDimension. Experts are on the same ranks as the dense layers: theirs is a grid of
/// its own, with degrees of expert tensor parallelism, 1, expert parallelism, what that leaves of the ranks, pipeline.
using Degrees = std::array<std::int64_t, rank_dimensions>;

/// Which dimension varies fastest from one rank to the next.
struct RankOrder {
  std::vector<RankDimension> fastest_first;
};

/// Parses "tp-cp-ep-dp-pp" (Megatron's notation: fastest first), any permutation; a dimension that is left out has
/// degree one. "megatron" and "torchtitan" name theirs. torchtitan's mesh (pp, dp_replicate, dp_shard, cp, tp) is written
/// outermost first and has the same order of ranks; its experts are folded out of dp_shard and cp. Llama 3 has
/// "tp-cp-pp-dp": pipelines inside (arXiv 2407.21783, sec. 3.3.2).
/// @throws UserError for a name twice or unknown
RankOrder parse_rank_order(std::string_view text);

/// The ranks as a grid: rank = sum of place * stride over the dimensions.
class Placement {
 public:
  /// @throws UserError for a degree above one of a dimension that the order leaves out
  Placement(const RankOrder& order, const Degrees& degrees);

  std::int64_t ranks() const;
  std::int64_t degree(RankDimension dimension) const { return degrees_[static_cast<std::size_t>(dimension)]; }
  /// Ranks between neighbours of a dimension.
  std::int64_t stride(RankDimension dimension) const { return strides_[static_cast<std::size_t>(dimension)]; }
  /// Where a rank is in a dimension, from zero.
  std::int64_t place(std::int64_t rank, RankDimension dimension) const;

  // A group along some dimensions: the ranks that differ in those alone.
  using Dimensions = std::span<const RankDimension>;
  /// In ascending order of rank.
  std::vector<std::int64_t> members(std::int64_t rank, Dimensions along) const;
  /// The first rank of each such group.
  std::vector<std::int64_t> first_ranks(Dimensions along) const;
  GroupShape shape(const Cluster& cluster, Dimensions along) const;

 private:
  Degrees degrees_;
  Degrees strides_{};
};

}  // namespace stepcast
