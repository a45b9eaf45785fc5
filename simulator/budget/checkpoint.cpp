#include "simulator/budget/checkpoint.hpp"

#include <cmath>
#include <limits>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

void check_model(Seconds interval, Seconds stall, Seconds restart, Seconds mttf) {
  CHECK(interval > Seconds(0), "work is cut into segments");
  CHECK(stall >= Seconds(0) && restart >= Seconds(0), "nothing takes negative time");
  CHECK(mttf > Seconds(0), "failures have a time between them");
}

}  // namespace

Bytes checkpoint_size(double parameters, const CheckpointState& state) {
  return Bytes(parameters * state.bytes_per_parameter());
}

CheckpointCost checkpoint_cost(Bytes size, std::int64_t gpus, const CheckpointStorage& storage, CheckpointMode mode) {
  CHECK(gpus > 0, "a checkpoint is of a job");
  CHECK(storage.write > BytesPerSecond(0) && storage.read > BytesPerSecond(0), "storage has bandwidth");
  CheckpointCost cost;
  cost.size = size;
  cost.per_gpu = size / static_cast<double>(gpus);
  cost.load = size / storage.read;
  const Seconds written = size / storage.write;
  if (mode == CheckpointMode::synchronous) {
    cost.stall = cost.write = written;
    return cost;
  }
  CHECK(storage.copy_per_gpu > BytesPerSecond(0), "a GPU is linked to its host");
  const Seconds copied = cost.per_gpu / storage.copy_per_gpu;
  cost.stall = copied + storage.background_slowdown * written;
  cost.write = copied + written;
  cost.shortest_interval = written;
  return cost;
}

MemoryCheckpoints memory_checkpoints(Bytes size, std::int64_t gpus, const CheckpointStorage& storage) {
  CHECK(gpus > 0, "a checkpoint is of a job");
  CHECK(storage.copy_per_gpu > BytesPerSecond(0), "a GPU is linked to its host");
  const Seconds copied = size / static_cast<double>(gpus) / storage.copy_per_gpu;
  MemoryCheckpoints copies;
  copies.stall = copies.load = copied;
  return copies;
}

Seconds young_interval(Seconds stall, Seconds mttf) { return Seconds(std::sqrt(2 * stall.si() * mttf.si())); }

Seconds daly_interval(Seconds stall, Seconds mttf) {
  if (!(stall < 2 * mttf)) return mttf;
  const double ratio = stall / (2 * mttf);
  return young_interval(stall, mttf) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - stall;
}

Seconds optimal_interval(Seconds stall, Seconds mttf) {
  CHECK(stall >= Seconds(0) && mttf > Seconds(0), "nothing takes negative time");
  if (stall == Seconds(0)) return Seconds(0);
  if (std::isinf(mttf.si())) return Seconds(infinity);
  // The minimum of (e^(x+d) - 1) / x, in units of the MTTF: (x - 1) e^(x+d) + 1 = 0, which has one root in (0, 1).
  // Convex on it and positive at 1, so that Newton's steps from 1 come down to the root and never pass it.
  const double d = stall / mttf;
  double x = 1;
  for (int step = 0; step < 200; ++step) {
    const double grown = std::expm1(x + d);
    const double next = x - (x + x * grown - grown) / (x * (grown + 1));
    if (!(next < x)) break;
    x = next;
  }
  return x * mttf;
}

Seconds expected_time(Seconds work, Seconds interval, Seconds stall, Seconds restart, Seconds mttf) {
  check_model(interval, stall, restart, mttf);
  const double segments = work / interval;
  if (std::isinf(mttf.si())) return segments * (interval + stall);
  return segments * mttf * (std::exp(restart / mttf) * std::expm1((interval + stall) / mttf));
}

double goodput_first_order(Seconds interval, Seconds stall, Seconds restart, Seconds mttf) {
  check_model(interval, stall, restart, mttf);
  const Seconds segment = interval + stall;
  return interval / segment * (1 - (segment / 2 + restart) / mttf);
}

double goodput_exponential(Seconds interval, Seconds stall, Seconds restart, Seconds mttf) {
  return interval / expected_time(interval, interval, stall, restart, mttf);
}

double expected_training_time_ratio(Seconds interval, Seconds stall, Seconds restart, Seconds mttf) {
  check_model(interval, stall, restart, mttf);
  return (1 - (restart + interval / 2) / mttf) / (1 + stall / interval);
}

}  // namespace stepcast
