#include "simulator/search/walk.hpp"

namespace stepcast {

Walk::Walk(const Variant& variant) : variant_(variant) {
  const std::size_t axes = variant.axes.size();
  block_.assign(axes + 1, 1);
  for (std::size_t i = axes; i-- > 0;) block_[i] = block_[i + 1] * variant.axes[i].samples.size();
  digits_.assign(axes, 0);
  const auto place = [&](std::string_view name) {
    for (std::size_t i = 0; i < axes; ++i) {
      if (variant.axes[i].key->name == name) return i + 1;
    }
    return std::size_t{0};
  };
  degrees_known_ = std::max({place("tensor_parallel"), place("context_parallel"), place("pipeline_parallel")});
  after_schedule_ = place("schedule");
  batch_known_ = std::max({degrees_known_, place("microbatch"), place("global_batch")});
}

void Walk::set(std::size_t axis, std::uint64_t digit) {
  digits_[axis] = digit;
  const Axis& of = variant_.axes[axis];
  std::visit([&](auto member) { plan_.*member = of.samples[digit].*member; }, of.key->member);
}

void Walk::advance(std::uint64_t from, std::uint64_t to) {
  std::size_t first = digits_.size();
  for (std::size_t i = digits_.size(); i-- > 0;) {
    if (from / block_[i + 1] == to / block_[i + 1]) break;
    first = i;
  }
  for (std::size_t i = first; i < digits_.size(); ++i) set(i, to / block_[i + 1] % variant_.axes[i].samples.size());
}

const std::string* Walk::check(std::uint64_t& next, std::uint64_t id) {
  const auto beyond = [&](std::size_t axes) { next = (id / block_[axes] + 1) * block_[axes]; };
  // A schedule of the base or of an axis gives way to what the other values allow.
  plan_.schedule = schedule();
  if (!complete(plan_, variant_.base)) {
    beyond(degrees_known_);
    return &degrees_;
  }
  if (plan_.global_batch % (plan_.microbatch * plan_.data_parallel) != 0) {
    beyond(batch_known_);
    return &batch_;
  }
  for (std::size_t i = 0; i < digits_.size(); ++i) {
    if (digits_[i] > 0 && is_idle(*variant_.axes[i].key, plan_, experts_)) return &same_;
  }
  return nullptr;
}

const std::string& Walk::schedule() const {
  if (after_schedule_ == 0) return variant_.base.plan.schedule;
  return variant_.axes[after_schedule_ - 1].samples[digits_[after_schedule_ - 1]].schedule;
}

}  // namespace stepcast
