#pragma once
/// When everything ran.

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "simulator/engine/sim_time.hpp"

namespace stepcast {

/// What a rank's compute stream spends its time on; the buckets of a rank sum to the step.
enum class Bucket : std::uint8_t { compute, tp_comm, cp_comm, ep_comm, dp_comm, pp_comm, bubble, optimizer, host };
inline constexpr std::size_t bucket_count = 9;

/// The queues of one GPU; instructions of one stream run in order.
enum class Stream : std::uint8_t {
  compute,
  tensor,
  expert,
  data,
  replica,  ///< of the copies of shards, where sharding is hybrid
  send_forward,
  send_backward,
  receive_forward,
  receive_backward,
  host_download,  ///< from the GPU to its host
  host_upload
};
inline constexpr std::size_t stream_count = 11;
const char* name_of(Stream stream);
const char* name_of(Bucket bucket);

/// One instruction of one rank as it ran.
struct Span {
  std::int32_t rank = 0;
  Stream stream{};
  Bucket bucket{};
  SimTime start, end;
  std::int32_t label = 0;  ///< index into Timeline::labels
  std::int32_t microbatch = -1;
  std::int64_t message = -1;  ///< pairs a send with its receive; -1: neither
};

/// What a link carries over time, as a share of what it can.
struct LinkUse {
  std::string name;
  std::int32_t rank = 0;                            ///< of those traced, the first that uses it
  std::vector<std::pair<SimTime, double>> samples;  ///< from each time on
};

/// Tensors that a rank holds.
struct MemoryOverTime {
  std::int32_t rank = 0;
  std::vector<std::pair<SimTime, Bytes>> samples;  ///< from each time on
  SimTime fullest;                                 ///< when it holds most for the first time
  Bytes most;
  std::int32_t label = -1, microbatch = -1;  ///< of the pass that runs then; -1: none
};

/// A stretch of the critical path.
struct PathStep {
  std::int32_t rank = 0;
  Bucket bucket{};
  SimTime start, end;
};

struct Timeline {
  SimTime step;                                            ///< from the first instruction to the last
  std::vector<std::array<SimTime, bucket_count>> buckets;  ///< per simulated rank
  std::vector<int> stage_of_rank;                          ///< pipeline stage of each simulated rank
  std::vector<Span> spans;                                 ///< when asked for
  std::vector<std::string> labels;
  std::vector<LinkUse> links;           ///< of traced ranks, where transfers share them
  std::vector<MemoryOverTime> memory;   ///< of traced ranks
  std::vector<Seconds> kept_waiting;    ///< per rank: how long others stood in collectives for it alone
  std::vector<PathStep> critical_path;  ///< when asked for
  std::int64_t instructions = 0;
  std::int64_t events = 0;
};

}  // namespace stepcast
