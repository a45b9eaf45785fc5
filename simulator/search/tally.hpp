#pragma once
/// What became of the configurations of a search, and why those that cannot run cannot.

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

namespace stepcast {

/// What became of every configuration.
struct Tally {
  std::uint64_t considered = 0;
  std::uint64_t same = 0;    ///< differ from another in a key that changes nothing
  std::uint64_t pruned = 0;  ///< by their bounds
  std::uint64_t simulated = 0;
  std::uint64_t known = 0;                            ///< of these, taken from an earlier run
  std::map<std::string, std::uint64_t> infeasible{};  ///< by reason, numbers left out

  std::uint64_t infeasible_sum() const;
  Tally& operator+=(const Tally& other);
};

/// Counts reasons, those that differ in their numbers alone as one, without a map look-up for one that was met just before.
class Reasons {
 public:
  void add(const std::string& reason, std::uint64_t count);
  /// Empties itself into the tally.
  void add_to(Tally& tally);

 private:
  void fold();

  std::unordered_map<std::string, std::uint64_t> counts_;
  std::map<std::string, std::uint64_t> folded_;
};

}  // namespace stepcast
