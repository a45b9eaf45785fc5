#include "simulator/search/plan_keys.hpp"

#include <algorithm>
#include <charconv>
#include <type_traits>

namespace stepcast {
namespace {

using P = ParallelPlan;

const PlanKey rows[] = {
    {"tensor_parallel", "TP", &P::tensor_parallel},
    {"sequence_parallel", "SP", &P::sequence_parallel},
    {"context_parallel", "CP", &P::context_parallel},
    {"expert_parallel", "EP", &P::expert_parallel},
    {"expert_tensor_parallel", "ETP", &P::expert_tensor_parallel},
    {"dispatcher", "dispatcher", &P::dispatcher, true},
    {"microbatch", "microbatch", &P::microbatch},
    {"recompute", "recompute", &P::recompute},
    {"flash_attention", "flash", &P::flash_attention, true},
    {"overlap_tp", "overlap TP", &P::overlap_tp, true},
    {"overlap_ep", "overlap EP", &P::overlap_ep, true},
    {"cuda_graphs", "graphs", &P::cuda_graphs, true},
    {"pipeline_parallel", "PP", &P::pipeline_parallel},
    {"virtual_stages", "chunks", &P::virtual_stages},
    {"schedule", "schedule", &P::schedule},
    {"placement", "placement", &P::placement},
    {"global_batch", "batch", &P::global_batch},
    {"overlap_p2p", "overlap PP", &P::overlap_p2p, true},
    {"zero", "ZeRO", &P::zero},
    {"shard_group", "shard group", &P::shard_group},
    {"reshard_after_forward", "reshard", &P::reshard_after_forward},
    {"cpu_offload", "offload", &P::cpu_offload},
    {"overlap_grad_reduce", "overlap DP", &P::overlap_grad_reduce, true},
    {"overlap_param_gather", "overlap gather", &P::overlap_param_gather, true},
};

template <class T>
struct Held {
  using type = T;
};
template <class T>
struct Held<std::optional<T>> {
  using type = T;
};

std::string text(const std::string& value) { return value; }
std::string text(bool value) { return value ? "true" : "false"; }
template <class T>
std::string text(T value) {
  return std::to_string(value);
}
template <class T>
std::string text(const std::optional<T>& value) {
  return value ? text(*value) : "";
}

template <class T>
std::optional<T> parsed(const std::string& text) {
  if constexpr (std::is_same_v<T, std::string>) {
    if (text.empty()) return std::nullopt;
    return text;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (text == "true") return true;
    if (text == "false") return false;
    return std::nullopt;
  } else {
    T number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
    return number;
  }
}

PlanValue value(const std::string& text) { return std::string_view(text); }
template <class T>
PlanValue value(T number) {
  return static_cast<double>(number);
}
template <class T>
PlanValue value(const std::optional<T>& held) {
  return held ? value(*held) : PlanValue(std::string_view());
}

}  // namespace

std::span<const PlanKey> plan_keys() { return rows; }

const PlanKey* find_plan_key(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(rows), std::end(rows), [&](const PlanKey& key) { return key.name == name; });
  return found == std::end(rows) ? nullptr : found;
}

std::string text_of(const ParallelPlan& plan, const PlanKey& key) {
  return std::visit([&](auto member) { return text(plan.*member); }, key.member);
}

bool assign(ParallelPlan& plan, const PlanKey& key, const std::string& text) {
  return std::visit(
      [&](auto member) {
        using Value = std::remove_reference_t<decltype(plan.*member)>;
        using T = typename Held<Value>::type;
        if constexpr (!std::is_same_v<T, Value>) {
          if (text == left_open) {
            plan.*member = std::nullopt;
            return true;
          }
        }
        const std::optional<T> value = parsed<T>(text);
        if (value) plan.*member = *value;
        return value.has_value();
      },
      key.member);
}

PlanValue value_of(const ParallelPlan& plan, const PlanKey& key) {
  return std::visit([&](auto member) { return value(plan.*member); }, key.member);
}

}  // namespace stepcast
