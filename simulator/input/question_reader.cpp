#include "simulator/input/question_reader.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "simulator/budget/training_compute.hpp"
#include "simulator/input/cluster_reader.hpp"
#include "simulator/input/file_keys.hpp"
#include "simulator/input/model_reader.hpp"
#include "simulator/input/operations_reader.hpp"
#include "simulator/input/scaling_law_reader.hpp"
#include "simulator/input/scenario_reader.hpp"
#include "simulator/input/sweep_reader.hpp"
#include "simulator/units/calendar.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;

// Keys of one cluster may stand at the top as well: there they hold for all clusters that do not have their own.
const FileKeys& question_keys() {
  static const FileKeys keys{
      {"", "name", "text", "what the report is headed with"},
      {"", "budget", "map", "one of its keys; left out: `model` and `tokens` are given"},
      {"", "model", "preset | path | map", "a given model; left out: the law's size in the shape of a family"},
      {"", "tokens", "amount", "a given number of tokens: 15T, 1.4e12"},
      {"", "tokens_per_parameter", "number", "over-training by intent, in place of the law's optimum"},
      {"", "law", "name | path | map", "scaling law (default besiroglu; `stepcast list scaling-laws`)"},
      {"", "compare_laws", "list of names", "laws to be shown beside (default: all)"},
      {"", "unique_tokens", "amount", "text that there is: what is read again is worth less (Muennighoff et al. 2023)"},
      {"", "inference", "map", "what is served later; sizes are then cheapest over the whole life"},
      {"", "shape", "family | map", "of a model that is not given (default llama3; `stepcast list families`)"},
      {"", "training", "map", "batch, sequences, phases"},
      {"", "clusters", "list of maps", "clusters to compare: `name`, and the keys of a cluster below"},
      {"", "trials", "whole number", "runs of the Monte Carlo of the calendar (default 1000)"},
      {"", "seed", "whole number", "of the Monte Carlo (default 1)"},
      {"budget", "flops", "number", "of training, C = 6 N D"},
      {"budget", "gpu_hours", "amount", "on the calendar, spare nodes with them"},
      {"budget", "dollars", "amount", "all that `price` counts"},
      {"budget", "days", "number", "on the calendar, interruptions with them"},
      {"budget", "loss", "nats a token", "to be reached with the least compute"},
      {"inference", "tokens", "amount", "that the model puts out over its life"},
      {"inference", "prompt_tokens", "amount", "that it reads (default 0)"},
      {"inference", "price_per_gpu_hour", "dollars", "with it, dollars decide and not FLOPs"},
      {"inference", "utilisation", "{training, prompt, output}", "model FLOPs over peak (defaults 0.4, 0.5, 0.02)"},
      {"shape", "family", "name", "`stepcast list families`"},
      {"shape", "vocabulary", "whole number", "default: the family's"},
      {"shape", "experts", "whole number", "of a family with experts"},
      {"shape", "top_k", "whole number", "experts that a token visits"},
      {"shape", "shared_experts", "whole number", "that every token passes"},
      {"shape", "expert_ffn", "whole number", "width of an expert"},
      {"shape", "active_ratio", "share", "of the parameters, that a token passes"},
      {"training", "sequence_length", "tokens", "default 8192"},
      {"training", "batch_tokens", "amount", "of a step (default: DeepSeek LLM's 0.292 C^0.327, to a power of two)"},
      {"training", "phases", "list of maps", "stretches with a batch or sequence length of their own, in order"},
      {"training", "evaluate_every", "steps", "default: never"},
      {"training", "evaluation", "time", "that one takes: 3 min"},
      {"training", "data_stall", "share", "of a step, that it waits for data (default 0)"},
      {"training", "loss_spikes", "number", "over the whole run, after which training goes back 100 steps (default 0)"},
      {"training.phases", "until", "amount", "tokens from the start; one phase has neither this nor `last`"},
      {"training.phases", "last", "amount", "tokens before the end: a context extension"},
      {"training.phases", "batch_tokens", "amount", "default: training.batch_tokens"},
      {"training.phases", "sequence_length", "tokens", "default: training.sequence_length"},
      {"cluster", "base", "path", "a scenario whose cluster, framework and plan are taken"},
      {"cluster", "cluster", "preset | map", "as in a scenario"},
      {"cluster", "framework", "name | map", "as in a scenario"},
      {"cluster", "plan", "map", "of a scenario: what holds in all plans that are tried (precision, ...)"},
      {"cluster", "space", "map", "of a sweep file: what is tried (default: degrees, chunks, ZeRO, recomputation)"},
      {"cluster", "memory_headroom", "bytes", "of each GPU that stay free (default 6% of its memory)"},
      {"cluster", "reliability", "name | map", "`stepcast list reliability` (default llama3-16k-h100)"},
      {"cluster", "spare_nodes", "whole number", "default: as many as rarely run out"},
      {"cluster", "elastic", "true | false", "go on with fewer replicas while no spare node is there (default false)"},
      {"cluster", "checkpoint", "map",
       "{write: 200 GB/s, read, mode: asynchronous | synchronous, copy_per_gpu,"
       " background_slowdown, bytes_per_parameter} (default 1 GB/s a node written, 2.6 read)"},
      {"cluster", "checkpoint_interval", "time", "default: the best"},
      {"cluster", "checkpoints_kept", "whole number", "that stay in storage (default 0)"},
      {"cluster", "price", "price | name | map",
       "2 USD/GPU-hour; `stepcast list prices`; {reserved: {price, discount, term}};"
       " {owned: {purchase, life, residual, interest, utilisation, hosting, electricity}}; left out: no dollars"},
      {"cluster", "storage_price", "map", "{kept: 20 USD/TB-month, egress: 0.05 USD/GB} (default: none)"},
      {"cluster", "dataset", "bytes", "in storage while the run lasts (default 0)"},
      {"cluster", "egress", "bytes", "that leave the site: the model, the logs (default 0)"},
      {"cluster", "site", "name | map", "`stepcast list sites`: PUE and the grid's CO2"},
      {"cluster", "power_per_gpu", "W", "in a step (default: from the simulated step)"},
      {"cluster", "node_power_factor", "number", "a server's power over that of its GPUs (default 1.45)"},
  };
  return keys;
}

std::vector<std::string> vocabulary(std::string_view section) { return vocabulary_of(question_keys(), section); }

std::vector<std::string> joined(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// "15T", "250e9", "4M": a number above zero with a letter for its thousands.
double amount(const YamlValue& value, double most = 1e36) {
  std::string text = value.text();
  double scale = 1;
  for (const auto& [letter, factor] : {std::pair('k', 1e3), {'M', 1e6}, {'B', 1e9}, {'T', 1e12}}) {
    if (!text.empty() && text.back() == letter) scale = factor, text.pop_back();
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  std::size_t used = 0;
  double number = 0;
  try {
    number = std::stod(text, &used) * scale;
  } catch (const std::exception&) {
    used = std::string::npos;
  }
  if (used != text.size() || !(number > 0) || !std::isfinite(number))
    throw value.must_be("an amount above zero, as in 4M, 15T or 1.4e12");
  if (number > most) throw value.error(fmt::format("{} is {} at most, not {:g}", value.path(), most, number));
  return number;
}

/// A hundred times the largest published batch, DeepSeek-V3's 63 million (arXiv 2412.19437, sec. 4.2).
constexpr double most_batch_tokens = 6.4e9;

double share(const YamlValue& value) { return value.number({0, 1}); }

/// Values of a map that may also stand one map further out.
class Layered {
 public:
  Layered(YamlMap& own, YamlMap* outer) : own_(own), outer_(outer) {}
  std::optional<YamlValue> find(const std::string& key) {
    auto outer = outer_ != nullptr ? outer_->find(key) : std::nullopt;
    auto own = own_.find(key);
    return own ? own : outer;
  }

 private:
  YamlMap& own_;
  YamlMap* outer_;
};

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  AskedQuestion read(const YamlNode& root) {
    YamlMap map(YamlValue(root, ""), joined(vocabulary(""), vocabulary("cluster")));
    const auto name = map.find("name");
    question_.name = name ? name->text() : fs::path(path_).stem().string();
    read_budget(map);
    read_sizes(map);
    read_law(map);
    read_inference(map);
    read_clusters(map);
    read_training(map);
    if (const auto trials = map.find("trials")) question_.trials = static_cast<int>(trials->integer({1, 100'000}));
    if (const auto seed = map.find("seed")) question_.seed = static_cast<std::uint64_t>(seed->integer({}));
    map.finish();
    question_.learned = load_learned_errors();
    return {std::move(question_), std::move(assumed_)};
  }

 private:
  void assume(const std::string& text) {
    if (std::find(assumed_.begin(), assumed_.end(), text) == assumed_.end()) assumed_.push_back(text);
  }

  void read_budget(YamlMap& map) {
    const auto value = map.find("budget");
    if (!value) return;
    YamlMap budget(*value, vocabulary("budget"));
    const struct {
      const char* key;
      Budget::Kind kind;
    } kinds[] = {{"flops", Budget::Kind::compute},
                 {"gpu_hours", Budget::Kind::gpu_hours},
                 {"dollars", Budget::Kind::dollars},
                 {"days", Budget::Kind::days},
                 {"loss", Budget::Kind::loss}};
    for (const auto& [key, kind] : kinds) {
      const auto found = budget.find(key);
      if (!found) continue;
      if (question_.budget.kind != Budget::Kind::none)
        throw found->error("a budget is of one kind: flops, gpu_hours, dollars, days or loss");
      question_.budget = {kind, kind == Budget::Kind::compute ? compute(*found) : amount(*found, 1e15)};
      if (kind == Budget::Kind::dollars) needs_price_ = true;
    }
    budget.finish();
    if (question_.budget.kind == Budget::Kind::none)
      throw value->must_be("a map with one of flops, gpu_hours, dollars, days and loss");
  }

  /// All computers on Earth together do some 1e22 FLOP/s: 1e33 is a thousand years of them.
  static double compute(const YamlValue& value) {
    const double flops = amount(value, 1e300);
    if (flops < 1e12 || flops > 1e33)
      throw value.error(fmt::format(
          "budget.flops is {:g}; what can be planned lies between 1e12 and 1e33 FLOPs (the largest published runs took "
          "about 5e26)",
          flops));
    return flops;
  }

  void read_sizes(YamlMap& map) {
    if (const auto model = map.find("model")) {
      Defaults defaults;
      question_.model = read_model(*model, presets_, defaults);
    }
    const auto tokens = map.find("tokens"), ratio = map.find("tokens_per_parameter");
    if (tokens) question_.tokens = amount(*tokens, 1e18);
    if (ratio) question_.tokens_per_parameter = amount(*ratio, 1e9);
    if (tokens && ratio) throw ratio->error("tokens and tokens_per_parameter: one of the two");
    const bool both = question_.model && (tokens || ratio);
    if (question_.budget.kind == Budget::Kind::none) {
      if (!both) throw map.error("there is nothing to plan with: a `budget`, or a `model` and its `tokens`");
      if (ratio) question_.tokens = *question_.tokens_per_parameter * count_parameters(*question_.model).active;
    } else if (both) {
      throw(tokens ? tokens : ratio)
          ->error(
              "model and tokens are given: then there is no budget to be spent on them; leave one of the three out");
    }
    const auto shape = map.find("shape");
    if (shape && question_.model) throw shape->error("the model is given: it has its shape");
    if (!question_.model) read_shape(shape);
  }

  void read_shape(const std::optional<YamlValue>& value) {
    question_.shape.family = "llama3";
    if (!value) {
      assume("shape: llama3");
      return;
    }
    if (value->is_scalar()) {
      question_.shape.family = value->choice("family of shapes", family_names());
      return;
    }
    YamlMap map(*value, vocabulary("shape"));
    if (const auto family = map.find("family"))
      question_.shape.family = family->choice("family of shapes", family_names());
    if (const auto vocab = map.find("vocabulary")) question_.shape.vocab = vocab->integer({1, 10'000'000});
    if (const auto experts = map.find("experts")) question_.shape.experts.experts = experts->integer({2, 100'000});
    if (const auto shared = map.find("shared_experts"))
      question_.shape.experts.shared_experts = shared->integer({0, 1000});
    if (const auto width = map.find("expert_ffn")) question_.shape.experts.expert_ffn = width->integer({1, 10'000'000});
    if (const auto top = map.find("top_k")) question_.shape.experts.top_k = top->integer({1, 100'000});
    if (const auto active = map.find("active_ratio")) question_.shape.experts.active_ratio = share(*active);
    map.finish();
  }

  static std::vector<std::string> family_names() {
    std::vector<std::string> names;
    for (const ShapeFamily& family : shape_families()) names.emplace_back(family.name);
    return names;
  }

  void read_law(YamlMap& map) {
    if (const auto law = map.find("law")) {
      question_.law = read_scaling_law(*law, presets_);
    } else {
      question_.law = load_scaling_law(default_scaling_law);
      assume(fmt::format("law: {}", default_scaling_law));
    }
    if (const auto unique = map.find("unique_tokens")) {
      const Repetition repetition = question_.law.repetition.value_or(*load_scaling_law("muennighoff").repetition);
      question_.law = with_unique_tokens(question_.law, amount(*unique, 1e18), repetition);
    }
    if (question_.budget.kind == Budget::Kind::loss && !has_loss(question_.law)) {
      throw map.error(fmt::format("budget.loss: {} says which sizes are best, not what the loss is; `law: {}` does",
                                  question_.law.name, default_scaling_law));
    }
    if (const auto others = map.find("compare_laws")) {
      for (const YamlValue& other : others->list()) question_.other_laws.push_back(read_scaling_law(other, presets_));
    } else {
      for (const PresetInfo& known : list_presets("scaling-laws"))
        question_.other_laws.push_back(load_scaling_law(known.name));
    }
    for (ScalingLaw& other : question_.other_laws) {
      const bool counts_repetition = other.form && std::holds_alternative<ParametricLoss>(*other.form);
      if (question_.law.unique_tokens && counts_repetition)
        other = with_unique_tokens(other, *question_.law.unique_tokens,
                                   other.repetition.value_or(*question_.law.repetition));
    }
  }

  void read_inference(YamlMap& map) {
    const auto value = map.find("inference");
    if (!value) return;
    if (!has_loss(question_.law)) throw value->error(question_.law.name + " has no loss to be held while sizes change");
    YamlMap inference(*value, vocabulary("inference"));
    InferenceDemand demand;
    demand.output_tokens = amount(inference.require("tokens"), 1e20);
    if (const auto prompts = inference.find("prompt_tokens")) demand.prompt_tokens = amount(*prompts, 1e20);
    question_.served = demand;
    if (const auto price = inference.find("price_per_gpu_hour")) serving_price_ = amount(*price, 1e6);
    if (const auto utilisation = inference.find("utilisation")) {
      YamlMap shares(*utilisation, {"training", "prompt", "output"});
      if (const auto of = shares.find("training")) training_utilisation_ = of->number({1e-6, 1});
      if (const auto of = shares.find("prompt")) prompt_utilisation_ = of->number({1e-6, 1});
      if (const auto of = shares.find("output")) output_utilisation_ = of->number({1e-6, 1});
      shares.finish();
    }
    inference.finish();
  }

  // --- clusters ----------------------------------------------------------------------------------------------------

  void read_clusters(YamlMap& map) {
    const auto list = map.find("clusters");
    if (!list) {
      question_.clusters.push_back(read_cluster_option(map, nullptr, map.node()));
    } else {
      for (const YamlValue& item : list->list()) {
        YamlMap own(item, joined({"name"}, vocabulary("cluster")));
        const auto name = own.find("name");
        ClusterOption option = read_cluster_option(own, &map, item.node());
        if (name) option.name = name->text();
        own.finish();
        question_.clusters.push_back(std::move(option));
      }
      for (const std::string& key : vocabulary("cluster")) map.skip(key);
      if (question_.clusters.empty()) throw list->must_be("a list with a cluster in it");
    }
    if (serving_price_ > 0) {
      const Job& base = question_.clusters.front().base;
      const FlopsPerSecond peak = base.cluster.gpu.peak_rate(base.plan.precision);
      question_.prices = LifetimePrices{{peak, training_utilisation_, serving_price_},
                                        {peak, prompt_utilisation_, serving_price_},
                                        {peak, output_utilisation_, serving_price_}};
    }
  }

  ClusterOption read_cluster_option(YamlMap& own, YamlMap* outer, const YamlNode& place) {
    Layered map(own, outer);
    ClusterOption option;
    const auto base = map.find("base"), cluster = map.find("cluster"), framework = map.find("framework"),
               plan = map.find("plan");
    option.base = base ? load_job(scenario_beside(*base)) : read_base(cluster, framework, plan, place);
    if (base && cluster) throw cluster->error("the base has its cluster: one of the two");
    option.name = base ? option.base.name
                       : fmt::format("{} x {}", count_text(static_cast<double>(option.base.cluster.gpus)),
                                     option.base.cluster.gpu.name);
    read_space(map, option);
    read_failures(map, option);
    read_checkpoint(map, option);
    read_price(map, option);
    if (const auto site = map.find("site")) {
      option.site = read_site(*site, presets_);
    } else {
      assume("site: PUE 1, no CO2 is counted");
    }
    if (const auto power = map.find("power_per_gpu")) option.power_per_gpu = power->quantity<Watts>();
    if (const auto factor = map.find("node_power_factor")) option.node_power = NodePower{factor->number({1, 10})};
    return option;
  }

  /// A scenario around the cluster, with any model: the one that is planned takes its place.
  Job read_base(const std::optional<YamlValue>& cluster, const std::optional<YamlValue>& framework,
                const std::optional<YamlValue>& plan, const YamlNode& place) {
    if (!cluster)
      throw error_at(place, "there is no `cluster` to train on: a preset of `stepcast list clusters`, or a map");
    YamlNode scenario;
    scenario.kind = YamlNode::Kind::map;
    scenario.source = place.source;
    scenario.at = place.at;
    const auto put = [](YamlNode& map, const std::string& key, YamlNode value) {
      value.key = key;
      map.children.push_back(std::move(value));
    };
    put(scenario, "model", yaml_scalar("llama3.1-8b"));
    put(scenario, "cluster", cluster->node());
    if (framework)
      put(scenario, "framework", framework->node());
    else
      assume("framework: megatron-core");
    YamlNode fixed;
    if (plan) {
      check_is_map(*plan);
      fixed = plan->node();
    }
    fixed.kind = YamlNode::Kind::map;
    std::vector<std::string> assumed;
    Defaults defaults;
    const Cluster read = read_cluster(YamlValue(cluster->node(), "cluster"), presets_, defaults, assumed);
    for (const char* key : {"global_batch", "sequence_length", "data_parallel"}) {
      if (const YamlNode* set = fixed.find(key))
        throw error_at_key(*set, fmt::format("plan.{} follows from `training` and the cluster here", key));
    }
    put(fixed, "global_batch", yaml_scalar(std::to_string(read.gpus * 64)));
    put(fixed, "sequence_length", yaml_scalar("2048"));
    if (fixed.find("precision") == nullptr) {
      put(fixed, "precision", yaml_scalar("bf16"));
      assume("plan.precision: bf16");
    }
    put(scenario, "plan", std::move(fixed));
    Job job = read_scenario(scenario, question_.name, presets_);
    job.defaults_taken.clear();
    return job;
  }

  void read_space(Layered& map, ClusterOption& option) {
    double headroom = 0.06 * option.base.cluster.gpu.memory.value.si();
    if (const auto stated = map.find("memory_headroom")) {
      headroom = stated->quantity<Bytes>().si();
    } else {
      assume("memory_headroom: 6% of a GPU, the mean error of predicted memory");
    }
    if (const auto space = map.find("space")) {
      check_is_map(*space);
      const auto kept = std::make_shared<const YamlNode>(space->node());
      option.space = [kept, headroom](const Job& job) { return sweep_over(job, YamlValue(*kept, "space"), headroom); };
      option.space(option.base);  // finds what is wrong in it
    } else {
      option.space = [headroom](const Job& job) { return training_sweep(job, headroom); };
    }
  }

  void read_failures(Layered& map, ClusterOption& option) {
    if (const auto reliability = map.find("reliability")) {
      option.reliability = read_reliability(*reliability, presets_);
    } else {
      option.reliability = load_reliability("llama3-16k-h100");
      assume("reliability: llama3-16k-h100");
    }
    if (const auto spares = map.find("spare_nodes")) option.spare_nodes = spares->integer({0, 1'000'000});
    if (const auto elastic = map.find("elastic")) option.elastic = elastic->boolean();
  }

  void read_checkpoint(Layered& map, ClusterOption& option) {
    if (const auto value = map.find("checkpoint")) {
      const CheckpointTerms terms = read_checkpoint_terms(*value);
      option.storage = terms.storage;
      option.checkpoint_mode = terms.mode;
      option.checkpoint_state = terms.state;
    } else {
      assume("checkpoint: asynchronous, storage writes 1 and reads 2.6 GB/s a node");
    }
    if (const auto interval = map.find("checkpoint_interval")) {
      option.checkpoint_interval = interval->quantity<Seconds>();
      if (*option.checkpoint_interval <= Seconds(0)) throw interval->must_be("a time above zero");
    }
    if (const auto kept = map.find("checkpoints_kept"))
      option.checkpoints_kept = static_cast<double>(kept->integer({0, 1'000'000}));
  }

  void read_price(Layered& map, ClusterOption& option) {
    if (const auto price = map.find("price")) {
      option.tenure = read_tenure(*price, presets_);
    } else if (needs_price_) {
      throw UserError(Location{path_}, fmt::format("budget.dollars: say the `price` of a GPU-hour on {}", option.name));
    }
    if (const auto storage = map.find("storage_price")) option.storage_terms = read_storage_terms(*storage);
    if (const auto dataset = map.find("dataset")) option.dataset = dataset->quantity<Bytes>();
    if (const auto egress = map.find("egress")) option.egress = egress->quantity<Bytes>();
  }

  // --- training ----------------------------------------------------------------------------------------------------

  void read_training(YamlMap& map) {
    const auto value = map.find("training");
    YamlNode nothing;
    nothing.kind = YamlNode::Kind::map;
    YamlMap training(value ? *value : YamlValue(nothing, "training"), vocabulary("training"));
    RecipeRule common;
    common.sequence_length = 8192;
    if (const auto length = training.find("sequence_length"))
      common.sequence_length = length->integer({1, 100'000'000});
    else
      assume("training.sequence_length: 8192");
    if (const auto batch = training.find("batch_tokens")) common.batch_tokens = amount(*batch, most_batch_tokens);
    if (const auto phases = training.find("phases")) {
      read_phases(*phases, common);
    } else {
      question_.recipe = {common};
    }
    for (RecipeRule& rule : question_.recipe) {
      if (rule.batch_tokens > 0) continue;
      const double sequence = static_cast<double>(rule.sequence_length);
      rule.batch_tokens = std::max(usual_batch(), sequence);
      assume(rule.batch_tokens == sequence
                 ? fmt::format("training.batch_tokens: {}, one sequence", count_text(sequence))
                 : fmt::format("training.batch_tokens: {}, the power of two nearest to DeepSeek LLM's 0.292 C^0.327",
                               count_text(rule.batch_tokens)));
    }
    for (const RecipeRule& rule : question_.recipe) {
      if (rule.batch_tokens < static_cast<double>(rule.sequence_length))
        throw training.error(fmt::format("a batch of {:g} tokens is less than one sequence of {}", rule.batch_tokens,
                                         rule.sequence_length));
    }
    const auto every = training.find("evaluate_every"), time = training.find("evaluation");
    if (every.has_value() != time.has_value())
      throw training.error("evaluate_every (steps) and evaluation (its time) go together");
    if (every) question_.evaluation = {every->integer({1, 1'000'000'000}), time->quantity<Seconds>()};
    if (const auto stall = training.find("data_stall")) question_.data_share = stall->number({0, 10});
    if (const auto spikes = training.find("loss_spikes")) question_.loss_spikes = spikes->number({0, 1e6});
    training.finish();
  }

  void read_phases(const YamlValue& list, const RecipeRule& common) {
    int open = 0;
    double before = 0;
    bool at_end = false;
    for (const YamlValue& item : list.list()) {
      YamlMap map(item, vocabulary("training.phases"));
      RecipeRule rule = common;
      const auto until = map.find("until"), last = map.find("last");
      if (until) rule.until = amount(*until, 1e18);
      if (last) rule.last = amount(*last, 1e18);
      if (until && last) throw last->error("until and last: one of the two");
      if (const auto batch = map.find("batch_tokens")) rule.batch_tokens = amount(*batch, most_batch_tokens);
      if (const auto length = map.find("sequence_length")) rule.sequence_length = length->integer({1, 100'000'000});
      map.finish();
      if (until && *rule.until <= before)
        throw until->error(fmt::format("the phase before it goes until {:g} already", before));
      if (until) before = *rule.until;
      if (at_end && !last) throw item.error("a phase after one with `last` has `last` too");
      if (open > 0 && until) throw until->error("the phase before it has no end: it takes all that is left");
      at_end = last.has_value();
      open += !until && !last ? 1 : 0;
      if (open > 1) throw item.error("one phase takes what is left: the others have `until` or `last`");
      question_.recipe.push_back(rule);
    }
    if (question_.recipe.empty()) throw list.must_be("a list with a phase in it");
    if (open == 0) throw list.error("one phase has neither `until` nor `last`: it takes what is left");
  }

  /// For the compute that the budget stands for, roughly.
  double usual_batch() const {
    double flops = question_.budget.amount;
    const Job& base = question_.clusters.front().base;
    const double rate = 0.4 * base.cluster.gpu.peak_rate(base.plan.precision).si();
    switch (question_.budget.kind) {
      case Budget::Kind::compute: break;
      case Budget::Kind::gpu_hours: flops *= 3600 * rate; break;
      case Budget::Kind::days: flops *= 86400 * rate * static_cast<double>(base.cluster.gpus); break;
      case Budget::Kind::dollars: flops *= 3600 * rate / 2; break;
      case Budget::Kind::loss: {
        const TrainingSize size = cheapest_for_loss(question_.law, question_.budget.amount);
        flops = 6 * size.parameters * size.tokens;
        break;
      }
      case Budget::Kind::none: flops = 6 * count_parameters(*question_.model).active * *question_.tokens; break;
    }
    const double batch = suggested_hyperparameters(load_scaling_law("deepseek"), Flops(flops))->batch_tokens;
    return std::max(std::exp2(std::round(std::log2(batch))), 8192.0);
  }

  std::string path_;
  PresetStore presets_;
  Question question_;
  std::vector<std::string> assumed_;
  bool needs_price_ = false;
  double serving_price_ = 0, training_utilisation_ = 0.4, prompt_utilisation_ = 0.5, output_utilisation_ = 0.02;
};

}  // namespace

AskedQuestion load_question(const std::string& path, const std::vector<Override>& overrides) {
  YamlNode root = load_yaml(path);
  for (const auto& [key, value] : overrides) set_by_path(root, key, value);
  return Reader(path).read(root);
}

std::string question_help() {
  return "Keys of a plan file (those of a cluster stand at the top, or in each of `clusters`):\n" +
         help_of(question_keys(), "cluster");
}

}  // namespace stepcast
