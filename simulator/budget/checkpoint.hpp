#pragma once
/// What saving progress costs, and how often it pays.

#include <cstdint>
#include <optional>

#include "simulator/units/units.hpp"

namespace stepcast {

/// Bytes of training state for each parameter.
struct CheckpointState {
  double master = 4;   ///< the optimizer's own copy of the parameter: fp32
  double moments = 8;  ///< Adam's two: fp32
  double weights = 2;  ///< the copy that computes, if it is written as well: 16-bit

  double bytes_per_parameter() const { return master + moments + weights; }
};

/// Size of one checkpoint. 14 bytes a parameter by default: 13.8 TB of the 1T model of Narayanan et al. 2021 (arXiv
/// 2104.04473, sec. 5.10), 2.3 TB of BLOOM's 176B; without the 16-bit copy 12.
Bytes checkpoint_size(double parameters, const CheckpointState& state = {});

/// Where checkpoints go. Bandwidths are the job's share of the storage, all GPUs together.
struct CheckpointStorage {
  BytesPerSecond write;
  BytesPerSecond read;
  BytesPerSecond copy_per_gpu{25e9};  ///< device to host memory: PCIe 4.0 x16 as measured; a node's profile has its own
  double background_slowdown = 0;     ///< share of speed that training loses while a checkpoint is written behind it
};

enum class CheckpointMode {
  synchronous,  ///< training waits until everything is written
  asynchronous  ///< training waits for the copy to host memory; the rest is written behind it
};

struct CheckpointCost {
  Bytes size;
  Bytes per_gpu;              ///< every GPU writes its part
  Seconds stall;              ///< that training waits for each checkpoint
  Seconds write;              ///< until it is safe, counted from its start
  Seconds load;               ///< reading it at a restart
  Seconds shortest_interval;  ///< of productive time between two: the one before has to be safe
};

/// Synchronous: stall = size / write. Asynchronous: stall = per_gpu / copy + slowdown * size / write, and the writing in
/// the background (size / write) must end before the next checkpoint begins.
CheckpointCost checkpoint_cost(Bytes size, std::int64_t gpus, const CheckpointStorage& storage, CheckpointMode mode);

/// Copies of the training state in the hosts' memory between the checkpoints in storage: cheap, hence frequent, and lost
/// with their node unless other nodes hold them as well (Wang et al. 2023, "Gemini", SOSP).
struct MemoryCheckpoints {
  Seconds stall;                      ///< that training waits for each
  Seconds load;                       ///< at a restart from them
  std::optional<Seconds> interval;    ///< of productive time between two; the optimum when left out
  bool survive_loss_of_node = false;  ///< other nodes hold them
};

/// Stall and load are the copy between device and host, per_gpu / copy_per_gpu.
MemoryCheckpoints memory_checkpoints(Bytes size, std::int64_t gpus, const CheckpointStorage& storage);

// How often. `mttf` is the job's mean time between failures; intervals are the productive time between two checkpoints.

/// First order: sqrt(2 * stall * mttf). Young 1974, "A first order approximation to the optimum checkpoint interval".
Seconds young_interval(Seconds stall, Seconds mttf);

/// Higher order: sqrt(2 stall M) (1 + sqrt(stall / 2M) / 3 + (stall / 2M) / 9) - stall while stall < 2M, else M.
/// Daly 2006, "A higher order estimate of the optimum checkpoint interval for restart dumps", eq. 37.
Seconds daly_interval(Seconds stall, Seconds mttf);

/// Where the exponential model's expected time (expected_time) has its minimum, to rounding. It does not depend on the
/// time of a restart, which costs the same factor at every interval. Infinite when nothing fails, zero without a stall.
Seconds optimal_interval(Seconds stall, Seconds mttf);

/// Expected wall-clock time of `work` in segments of `interval`, each followed by a checkpoint, when failures come as a
/// Poisson process, at any time, and each costs `restart` before the segment is tried again:
///
///   M e^(restart / M) (e^((interval + stall) / M) - 1) * work / interval
///
/// Daly 2006, eq. 20; exact for whole segments.
Seconds expected_time(Seconds work, Seconds interval, Seconds stall, Seconds restart, Seconds mttf);

// Goodput: productive time over wall-clock time.

/// First order: interval / (interval + stall) * (1 - ((interval + stall) / 2 + restart) / mttf). Above about 0.6.
double goodput_first_order(Seconds interval, Seconds stall, Seconds restart, Seconds mttf);

/// interval / expected_time(interval): the exponential model.
double goodput_exponential(Seconds interval, Seconds stall, Seconds restart, Seconds mttf);

/// Expected training time ratio of Kokolis et al. 2024 (arXiv 2410.21680):
///   (1 - (restart + interval / 2) / mttf) / (1 + stall / interval)
double expected_training_time_ratio(Seconds interval, Seconds stall, Seconds restart, Seconds mttf);

}  // namespace stepcast
