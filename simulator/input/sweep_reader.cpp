#include "simulator/input/sweep_reader.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>
#include <map>

#include <fmt/format.h>

#include "simulator/base/files.hpp"
#include "simulator/cluster/placement.hpp"
#include "simulator/input/file_keys.hpp"
#include "simulator/input/scenario_keys.hpp"
#include "simulator/input/scenario_reader.hpp"
#include "simulator/input/yaml_reader.hpp"
#include "simulator/parallelism/recompute.hpp"
#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;

const FileKeys& sweep_keys() {
  static const FileKeys keys{
      {"", "name", "text", "what the report is headed with"},
      {"", "base", "path | FILE#run", "the scenario whose plan is varied; required"},
      {"", "set", "map of key paths", "changes to the base: {plan.global_batch: 1536, cluster.gpus: 4096}"},
      {"", "models", "list of presets", "each in place of the base's model"},
      {"", "clusters", "list of presets or maps", "each in place of the base's; a map changes keys: {gpus: 512}"},
      {"", "space", "map",
       "values of plan keys: [1, 2], {powers_of_two: [1, 64]}, {divisors_of: gpus}, {range: [1, 8]};"
       " left out: all that is sensible"},
      {"", "constraints", "list of expressions", "\"tensor_parallel <= gpus_per_node\""},
      {"", "objective", "name", "what is best (default step_time)"},
      {"", "pareto", "list of two objectives", "the plans of which none is better in both"},
      {"", "limits", "map", "what a plan must keep to"},
      {"", "price_per_gpu_hour", "dollars", "for tokens_per_dollar and cost"},
      {"", "tokens", "number", "to be trained on, for days and cost"},
      {"", "top", "whole number", "how many of the best are wanted (default 10)"},
      {"limits", "memory_headroom", "bytes", "of each GPU, that stay free: 4 GiB"},
      {"limits", "microbatch", "whole number", "sequences at most"},
  };
  return keys;
}

std::vector<std::string> vocabulary(std::string_view section) { return vocabulary_of(sweep_keys(), section); }

// --- values of an axis -------------------------------------------------------------------------------------------

std::vector<std::int64_t> divisors(std::int64_t number) {
  std::vector<std::int64_t> found;
  for (std::int64_t d = 1; d <= number && found.size() < 100'000; ++d) {
    if (number % d == 0) found.push_back(d);
  }
  return found;
}

std::vector<std::int64_t> powers_of_two(std::int64_t from, std::int64_t to) {
  std::vector<std::int64_t> found;
  for (std::int64_t power = 1; power <= to; power *= 2) {
    if (power >= from) found.push_back(power);
  }
  return found;
}

std::vector<std::string> texts(const std::vector<std::int64_t>& numbers) {
  std::vector<std::string> all;
  for (const std::int64_t number : numbers) all.push_back(std::to_string(number));
  return all;
}

struct Quantity {
  std::string_view name;
  std::int64_t (*of)(const Job&);
};
constexpr Quantity quantities[] = {
    {"gpus", [](const Job& j) { return j.cluster.gpus; }},
    {"gpus_per_node", [](const Job& j) { return std::int64_t{j.cluster.gpus_per_node}; }},
    {"layers", [](const Job& j) { return j.model.layers; }},
    {"heads", [](const Job& j) { return j.model.heads; }},
    {"kv_heads", [](const Job& j) { return j.model.kv_heads; }},
    {"global_batch", [](const Job& j) { return j.plan.global_batch; }},
    {"experts", [](const Job& j) { return j.model.moe ? j.model.moe->experts : std::int64_t{1}; }},
};

constexpr IntegerRange any_range{0, 1'000'000'000};

std::vector<std::string> values_of(const YamlValue& value, const Job& base) {
  if (value.is_scalar()) return {value.text()};
  if (value.is_list()) {
    std::vector<std::string> all;
    for (const YamlValue& item : value.list()) all.push_back(item.text());
    return all;
  }
  YamlMap map(value, {"powers_of_two", "divisors_of", "range"});
  std::vector<std::string> all;
  const auto powers = map.find("powers_of_two"), of = map.find("divisors_of"), range = map.find("range");
  if (powers) {
    const std::vector<YamlValue> ends = powers->list();
    if (ends.size() != 2) throw powers->must_be("[lowest, highest]");
    all = texts(powers_of_two(ends[0].integer(any_range), ends[1].integer(any_range)));
  } else if (of) {
    std::vector<std::string> names;
    for (const Quantity& known : quantities) names.emplace_back(known.name);
    const std::string name = of->choice("quantity", names);
    const auto* found =
        std::find_if(std::begin(quantities), std::end(quantities), [&](const Quantity& q) { return q.name == name; });
    all = texts(divisors(found->of(base)));
  } else if (range) {
    const std::vector<YamlValue> ends = range->list();
    if (ends.size() != 2 && ends.size() != 3) throw range->must_be("[lowest, highest] or [lowest, highest, step]");
    const std::int64_t step = ends.size() == 3 ? ends[2].integer({1, any_range.highest}) : 1;
    const std::int64_t last = ends[1].integer(any_range);
    if ((last - ends[0].integer(any_range)) / step > 100'000) throw range->must_be("of at most 100,000 values");
    std::vector<std::int64_t> numbers;
    for (std::int64_t n = ends[0].integer(any_range); n <= last; n += step) numbers.push_back(n);
    all = texts(numbers);
  } else {
    throw value.must_be("a list, {powers_of_two: [1, 64]}, {divisors_of: gpus} or {range: [1, 8]}");
  }
  map.finish();
  return all;
}

/// Why a value of a key cannot be, or empty.
std::string refuse(const PlanKey& key, const std::string& text) {
  if (text == left_open) return "";
  if (key.name == "recompute") {
    if (recompute_policy(text)) return "";
    std::vector<std::string> names;
    for (const RecomputePolicy& policy : recompute_policies()) names.emplace_back(policy.name);
    return unknown_name("recompute policy", text, names);
  }
  if (key.name == "schedule") {
    std::vector<std::string> names;
    for (const Schedule& schedule : list_schedules()) names.emplace_back(schedule.name);
    return find_schedule(text) != nullptr ? "" : unknown_name("schedule", text, names);
  }
  if (key.name == "placement") {
    try {
      parse_rank_order(text);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  }
  if (!std::holds_alternative<std::string ParallelPlan::*>(key.member) &&
      !std::holds_alternative<std::optional<std::string> ParallelPlan::*>(key.member)) {
    return "";
  }
  const auto& names = scenario_choices(key.of_framework ? "framework" : "plan", key.name);
  if (names.empty() || std::find(names.begin(), names.end(), text) != names.end()) return "";
  return unknown_name(key.name, text, names);
}

Axis axis_of(const PlanKey& key, std::vector<std::string> values, const Job& base,
             const std::function<UserError(const std::string&)>& error) {
  Axis axis;
  axis.key = &key;
  for (std::string& text : values) {
    ParallelPlan sample = base.plan;
    const bool positive = !key.name.starts_with("zero");
    if (!assign(sample, key, text) || (positive && text == "0")) {
      throw error(fmt::format("'{}' is no value of {}", text, key.name));
    }
    if (const std::string problem = refuse(key, text); !problem.empty()) throw error(problem);
    if (std::find(axis.texts.begin(), axis.texts.end(), text) != axis.texts.end()) continue;
    axis.texts.push_back(std::move(text));
    axis.samples.push_back(std::move(sample));
  }
  if (axis.texts.empty()) throw error(fmt::format("{} has no values: the space is empty", key.name));
  return axis;
}

// --- the space that is looked through when none is given ---------------------------------------------------------

std::vector<std::int64_t> those(std::vector<std::int64_t> numbers, const std::function<bool(std::int64_t)>& keep) {
  std::erase_if(numbers, [&](std::int64_t n) { return !keep(n); });
  return numbers;
}

std::map<std::string, std::vector<std::string>> default_space(const Job& base) {
  const Architecture& model = base.model;
  const Cluster& cluster = base.cluster;
  const auto divides = [](std::int64_t of) { return [of](std::int64_t n) { return of % n == 0; }; };
  std::map<std::string, std::vector<std::string>> space;
  const std::int64_t domain = std::min<std::int64_t>(cluster.gpus, std::max(8, cluster.gpus_per_node));
  space["tensor_parallel"] = texts(those(powers_of_two(1, domain), divides(model.heads)));
  if (space["tensor_parallel"].size() > 1) space["sequence_parallel"] = {"true", "false"};
  if (base.plan.sequence_length >= 16384) {
    space["context_parallel"] =
        texts(those(powers_of_two(1, std::min<std::int64_t>(64, cluster.gpus)), divides(cluster.gpus)));
  }
  if (model.moe) {
    space["expert_parallel"] =
        texts(those(powers_of_two(1, std::min<std::int64_t>(model.moe->experts, 128)), divides(model.moe->experts)));
  }
  space["pipeline_parallel"] =
      texts(those(divisors(std::min<std::int64_t>(cluster.gpus, 1 << 20)), [&](std::int64_t n) {
        return cluster.gpus % n == 0 && n <= std::min<std::int64_t>(64, model.layers + 2);
      }));
  space["virtual_stages"] = texts(those(divisors(model.layers), [](std::int64_t n) { return n <= 12; }));
  space["schedule"] = {"1f1b", "zb-h1", "zb-v", "dualpipe"};
  space["zero"] = {"0", "1", "2", "3"};
  // Shards in a node, copies among the nodes (HSDP; Megatron's instances of a distributed optimizer).
  if (!model.moe && cluster.gpus > cluster.gpus_per_node)
    space["shard_group"] = {std::string(left_open), std::to_string(cluster.gpus_per_node)};
  // Where the framework has it: a profile without it says so by assuming what its name would be.
  const bool overlaps = base.framework.tp_overlap.basis != Basis::assumed;
  if (overlaps && space["tensor_parallel"].size() > 1) space["overlap_tp"] = {"true", "false"};
  space["microbatch"] = texts(those(powers_of_two(1, 16), divides(base.plan.global_batch)));
  space["recompute"] = {"none", "selective", "full"};
  space["cpu_offload"] = {"none", "optimizer"};
  space["overlap_grad_reduce"] = {"true", "false"};
  space["overlap_param_gather"] = {"true", "false"};
  space["overlap_p2p"] = {"true", "false"};
  return space;
}

/// What teams set by hand, in the order of plan_keys(); the rest is left to the framework.
std::vector<std::pair<std::string, std::vector<std::string>>> training_space(const Job& base) {
  std::map<std::string, std::vector<std::string>> space = default_space(base);
  const std::string& family = base.framework.family;
  space["sequence_parallel"] = {"true"};
  space["schedule"] = {"1f1b"};
  space["zero"] = {family == "pytorch" ? "3" : "1"};
  if (family == "deepspeed") space["zero"] = {"1", "2", "3"};
  space["microbatch"] =
      texts(those(powers_of_two(1, 8), [&](std::int64_t n) { return base.plan.global_batch % n == 0; }));
  space["recompute"] = {"none", "selective", "full"};
  std::vector<std::pair<std::string, std::vector<std::string>>> ordered;
  for (const PlanKey& key : plan_keys()) {
    constexpr std::string_view set_by_hand[] = {
        "tensor_parallel",   "sequence_parallel", "context_parallel", "expert_parallel",
        "pipeline_parallel", "virtual_stages",    "schedule",         "zero",
        "microbatch",        "recompute"};
    const auto found = space.find(std::string(key.name));
    if (found == space.end() || std::ranges::find(set_by_hand, key.name) == std::end(set_by_hand)) continue;
    ordered.emplace_back(found->first, found->second);
  }
  return ordered;
}

// --- the file ----------------------------------------------------------------------------------------------------

std::uint64_t digest(std::string_view text, std::uint64_t hash = 14695981039346656037U) {  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

void put_axes(Variant& variant, const std::optional<YamlValue>& space, std::optional<std::int64_t> most_microbatch) {
  std::map<std::string, Axis> axes;
  if (!space) {
    for (const auto& [name, values] : default_space(variant.base)) {
      axes[name] = axis_of(*find_plan_key(name), values, variant.base,
                           [&](const std::string& problem) { return UserError(problem); });
    }
  } else {
    std::vector<std::string> names;
    for (const PlanKey& key : plan_keys()) names.emplace_back(key.name);
    YamlMap map(*space, names);
    for (const PlanKey& key : plan_keys()) {
      const auto value = map.find(std::string(key.name));
      if (!value) continue;
      axes[std::string(key.name)] = axis_of(key, values_of(*value, variant.base), variant.base,
                                            [&](const std::string& problem) { return value->error(problem); });
    }
    map.finish();
  }
  for (const PlanKey& key : plan_keys()) {
    const auto found = axes.find(std::string(key.name));
    if (found == axes.end()) continue;
    Axis& axis = found->second;
    if (key.name == "microbatch" && most_microbatch) {
      for (std::size_t i = axis.texts.size(); i-- > 0;) {
        if (axis.samples[i].microbatch <= *most_microbatch) continue;
        axis.texts.erase(axis.texts.begin() + static_cast<std::ptrdiff_t>(i));
        axis.samples.erase(axis.samples.begin() + static_cast<std::ptrdiff_t>(i));
      }
      if (axis.texts.empty()) throw UserError("limits.microbatch leaves no microbatch: the space is empty");
    }
    variant.axes.push_back(std::move(axis));
  }
}

struct Change {
  std::string name;
  std::vector<Override> overrides;
  std::optional<double> price;
};

std::vector<Change> changes_of(const std::optional<YamlValue>& list, const std::string& section) {
  if (!list) return {{}};
  std::vector<Change> all;
  for (const YamlValue& item : list->list()) {
    Change change;
    if (item.is_map()) {
      YamlMap map(item);
      for (const YamlValue& value : map.values()) {
        if (value.key() == "price_per_gpu_hour") {
          change.price = value.number({0, 1e9});
          continue;
        }
        if (!value.is_scalar()) throw value.must_be("a plain value");
        change.overrides.emplace_back(section + "." + value.key(), value.text());
        change.name += (change.name.empty() ? "" : ", ") + value.key() + " " + value.text();
      }
    } else {
      change.name = item.text();
      change.overrides.emplace_back(section, item.text());
    }
    all.push_back(std::move(change));
  }
  if (all.empty()) throw list->must_be("a list with something in it");
  return all;
}

const Objective& objective_of(const YamlValue& value) {
  std::vector<std::string> names;
  for (const Objective& known : objectives()) names.emplace_back(known.name);
  return *find_objective(value.choice("objective", names));
}

void check_objective(const Sweep& sweep, const Objective& objective) {
  if (objective.needs_tokens && sweep.tokens <= 0) {
    throw UserError(fmt::format("objective {}: say how many `tokens` are to be trained on", objective.name));
  }
  for (const Variant& variant : sweep.variants) {
    if (objective.needs_price && variant.price_per_gpu_hour <= 0) {
      throw UserError(fmt::format("objective {}: say the `price_per_gpu_hour`", objective.name));
    }
  }
}

Variant variant_of(const Job& base) {
  Variant variant;
  variant.base = base;
  return variant;
}

Sweep shortest_step(Variant variant, double memory_headroom_bytes = 0) {
  Sweep sweep;
  sweep.name = variant.base.name;
  sweep.objective = find_objective("step_time");
  sweep.memory_headroom_bytes = memory_headroom_bytes;
  sweep.variants.push_back(std::move(variant));
  return sweep;
}

}  // namespace

std::string profiles_digest() {
  std::vector<std::string> files;
  for (const char* folder : {"hardware_profiles", "models/presets"}) {
    std::error_code missing;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(data_directory()) / folder, missing)) {
      if (entry.is_regular_file() && entry.path().extension() == ".yaml") files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  std::uint64_t hash = digest("");
  for (const std::string& file : files) hash = digest(read_file(file), hash);
  return fmt::format("{:016x}", hash);
}

Sweep default_sweep(const Job& base) {
  Variant variant = variant_of(base);
  put_axes(variant, std::nullopt, std::nullopt);
  return shortest_step(std::move(variant));
}

Sweep training_sweep(const Job& base, double memory_headroom_bytes) {
  Variant variant = variant_of(base);
  for (const auto& [name, values] : training_space(base)) {
    variant.axes.push_back(
        axis_of(*find_plan_key(name), values, base, [](const std::string& problem) { return UserError(problem); }));
  }
  return shortest_step(std::move(variant), memory_headroom_bytes);
}

Sweep sweep_over(const Job& base, const YamlValue& space, double memory_headroom_bytes) {
  Variant variant = variant_of(base);
  put_axes(variant, space, std::nullopt);
  return shortest_step(std::move(variant), memory_headroom_bytes);
}

Sweep load_sweep(const std::string& path, const std::vector<Override>& overrides) {
  const std::string file = fs::exists(path) ? path : path.substr(0, path.rfind('#'));
  const YamlNode root = load_yaml(file);
  Sweep sweep;
  sweep.objective = find_objective("step_time");
  std::string all_text = read_file(file);

  if (root.find("base") == nullptr) {  // a scenario
    sweep = default_sweep(load_job(path, overrides));
  } else {
    YamlMap map(YamlValue(root, ""), vocabulary(""));
    const auto name = map.find("name");
    sweep.name = name ? name->text() : fs::path(file).stem().string();
    const std::string base = scenario_beside(map.require("base"));
    all_text += read_file(fs::exists(base) ? base : base.substr(0, base.rfind('#')));
    std::vector<Override> set;
    if (const auto value = map.find("set")) {
      YamlMap changes(*value);
      for (const YamlValue& change : changes.values()) {
        if (!change.is_scalar()) throw change.must_be("a plain value");
        set.emplace_back(change.key(), change.text());
      }
    }
    set.insert(set.end(), overrides.begin(), overrides.end());

    std::optional<std::int64_t> most_microbatch;
    if (const auto value = map.find("limits")) {
      YamlMap limits(*value, vocabulary("limits"));
      if (const auto headroom = limits.find("memory_headroom"))
        sweep.memory_headroom_bytes = headroom->quantity<Bytes>().si();
      if (const auto most = limits.find("microbatch")) most_microbatch = most->integer({1, any_range.highest});
      limits.finish();
    }
    const auto price = map.find("price_per_gpu_hour");
    const double dollars = price ? price->number({0, 1e9}) : 0;
    if (const auto tokens = map.find("tokens")) sweep.tokens = tokens->number({1, 1e18});
    if (const auto top = map.find("top")) sweep.top = static_cast<int>(top->integer({1, 100'000}));
    if (const auto objective = map.find("objective")) sweep.objective = &objective_of(*objective);
    if (const auto pareto = map.find("pareto")) {
      for (const YamlValue& item : pareto->list()) sweep.pareto.push_back(&objective_of(item));
      if (sweep.pareto.size() != 2 || sweep.pareto[0] == sweep.pareto[1])
        throw pareto->must_be("two different objectives");
    }
    if (const auto list = map.find("constraints")) {
      for (const YamlValue& item : list->list()) {
        try {
          sweep.constraints.emplace_back(item.text());
        } catch (const UserError& error) {
          throw item.error(error.what());
        }
      }
    }
    const auto models = map.find("models"), clusters = map.find("clusters"), space = map.find("space");
    for (const Change& model : changes_of(models, "model")) {
      for (const Change& cluster : changes_of(clusters, "cluster")) {
        std::vector<Override> changes = set;
        changes.insert(changes.end(), model.overrides.begin(), model.overrides.end());
        changes.insert(changes.end(), cluster.overrides.begin(), cluster.overrides.end());
        Variant variant;
        variant.name = model.name + (model.name.empty() || cluster.name.empty() ? "" : ", ") + cluster.name;
        variant.base = load_job(base, changes);
        variant.price_per_gpu_hour = cluster.price.value_or(dollars);
        put_axes(variant, space, most_microbatch);
        sweep.variants.push_back(std::move(variant));
      }
    }
    map.finish();
  }
  check_objective(sweep, *sweep.objective);
  for (const Objective* objective : sweep.pareto) check_objective(sweep, *objective);
  for (const auto& [key, value] : overrides) all_text += key + "=" + value + "\n";
  sweep.fingerprint = fmt::format("{:016x}-{}", digest(all_text), profiles_digest());
  return sweep;
}

std::string sweep_help() {
  std::string text = "Keys of a sweep file:\n" + help_of(sweep_keys());
  text += "\nKeys of `space:`, which constraints may name as well:\n  ";
  std::size_t width = 2;
  for (const PlanKey& key : plan_keys()) {
    if (width + key.name.size() > 100) text += "\n  ", width = 2;
    text += fmt::format("{} ", key.name);
    width += key.name.size() + 1;
  }
  text += "\n\nBesides, constraints may name:\n";
  for (const auto& [name, meaning] : constraint_names()) text += fmt::format("  {:<28}{}\n", name, meaning);
  text += "\nObjectives:\n";
  for (const Objective& objective : objectives())
    text += fmt::format("  {:<28}{}\n", objective.name, objective.description);
  return text;
}

}  // namespace stepcast
