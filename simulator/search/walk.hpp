#pragma once
/// The plans of a variant, one after the other.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "simulator/search/sweep.hpp"
#include "simulator/search/tally.hpp"

namespace stepcast {

/// Walks through a range of a variant's plans; whole stretches that share the digits of what is wrong are passed over.
class Walk {
 public:
  explicit Walk(const Variant& variant);

  /// @param visit    called with (id, plan) of each plan that passes
  /// @param refused  called with (begin, end, reason) of stretches that do not
  template <class Visit, class Refused>
  void run(std::uint64_t begin, std::uint64_t end, Tally& tally, Reasons& reasons, Visit&& visit, Refused&& refused) {
    plan_ = variant_.base.plan;
    std::uint64_t id = begin;
    for (std::size_t i = 0; i < digits_.size(); ++i) set(i, begin / block_[i + 1] % variant_.axes[i].samples.size());
    while (id < end) {
      std::uint64_t next = id + 1;
      const std::string* const wrong = check(next, id);
      next = std::min(next, end);
      tally.considered += next - id;
      if (wrong == nullptr) {
        visit(id, plan_);
      } else if (wrong == &same_) {
        tally.same += next - id;
      } else {
        reasons.add(*wrong, next - id);
        refused(id, next, *wrong);
      }
      advance(id, next);
      id = next;
    }
  }

 private:
  void set(std::size_t axis, std::uint64_t digit);
  void advance(std::uint64_t from, std::uint64_t to);
  /// What is wrong with the plan, and from which number on it may be right again.
  const std::string* check(std::uint64_t& next, std::uint64_t id);
  const std::string& schedule() const;

  const Variant& variant_;
  std::vector<std::uint64_t> block_;  ///< numbers that share the first i digits
  std::vector<std::uint64_t> digits_;
  std::size_t degrees_known_ = 0, batch_known_ = 0;
  std::size_t after_schedule_ = 0;  ///< the axis behind that of the schedule; 0: the base's
  ParallelPlan plan_;
  const bool experts_ = variant_.base.model.moe.has_value();
  const std::string same_ = "same";
  const std::string degrees_ = "tensor_parallel x context_parallel x pipeline_parallel do not divide the GPUs";
  const std::string batch_ = "global_batch is no multiple of microbatch x data_parallel";
};

}  // namespace stepcast
