#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/base/text_table.hpp"
#include "simulator/input/sweep_reader.hpp"
#include "simulator/predict.hpp"
#include "simulator/search/refine.hpp"
#include "simulator/search/search.hpp"
#include "simulator/search/store.hpp"
#include "simulator/units/text.hpp"
#include "tools/stepcast/command.hpp"
#include "tools/stepcast/processes.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  Inputs inputs;
  int jobs = 0;
  int top = 0;
  bool exhaustive = false;
  bool resume = false;
  int refine = 0;
  bool help_file = false;
  std::string shard;
  std::string out;
  std::string format = "text";
};

/// "2/8". @throws UserError
void read_shard(const std::string& text, SearchOptions& options) {
  if (text.empty()) return;
  const std::size_t slash = text.find('/');
  try {
    if (slash == std::string::npos) throw std::invalid_argument(text);
    std::size_t used = 0, used_of = 0;
    options.shard = std::stoi(text.substr(0, slash), &used);
    options.shards = std::stoi(text.substr(slash + 1), &used_of);
    if (used != slash || used_of != text.size() - slash - 1) throw std::invalid_argument(text);
  } catch (const std::exception&) {
    throw UserError("--shard " + text + ": write I/N, as in 0/8");
  }
  if (options.shards < 1 || options.shard < 0 || options.shard >= options.shards) {
    throw UserError("--shard " + text + ": parts are counted from 0 to N-1");
  }
}

ParallelPlan plan_of(const Sweep& sweep, const Result& result) {
  const Variant& variant = sweep.variants[result.variant];
  ParallelPlan plan = variant.plan(result.id);
  complete(plan, variant.base);
  return plan;
}

/// What sets the plans of a table apart, and what every table needs.
std::vector<const PlanKey*> telling_keys(const Sweep& sweep, const std::vector<Result>& rows) {
  std::vector<const PlanKey*> keys;
  for (const PlanKey& key : plan_keys()) {
    const bool always = key.name == "tensor_parallel" || key.name == "pipeline_parallel";
    const auto differs = [&](const Result& row) {
      return text_of(plan_of(sweep, row), key) != text_of(plan_of(sweep, rows.front()), key);
    };
    if (always || std::any_of(rows.begin(), rows.end(), differs)) keys.push_back(&key);
  }
  return keys;
}

std::string shown(double value, std::string_view unit) {
  if (unit == "s") return to_text(Seconds(value));
  if (unit.empty()) return percent_text(value);
  return number_text(value, 4) + " " + std::string(unit);
}

/// What is the same in all the rows.
std::string shared_text(const Sweep& sweep, const std::vector<Result>& rows,
                        const std::vector<const PlanKey*>& telling) {
  std::string text;
  for (const Axis& axis : sweep.variants[rows.front().variant].axes) {
    if (std::find(telling.begin(), telling.end(), axis.key) != telling.end()) continue;
    const std::string value = text_of(plan_of(sweep, rows.front()), *axis.key);
    if (value.empty() || is_idle(*axis.key, plan_of(sweep, rows.front()),
                                 sweep.variants[rows.front().variant].base.model.moe.has_value()))
      continue;
    text += (text.empty() ? "" : ", ") + std::string(axis.key->name) + " " + value;
  }
  return text;
}

std::string table(const Sweep& sweep, const std::vector<Result>& rows) {
  const std::vector<const PlanKey*> keys = telling_keys(sweep, rows);
  std::vector<const Objective*> measures;
  const auto add = [&](const Objective* measure) {
    if (measure != nullptr && std::find(measures.begin(), measures.end(), measure) == measures.end())
      measures.push_back(measure);
  };
  add(sweep.objective);
  for (const Objective* objective : sweep.pareto) add(objective);
  for (const char* name : {"step_time", "mfu", "memory"}) add(find_objective(name));

  std::vector<TextTable::Column> columns{{"", Align::right}};
  if (sweep.variants.size() > 1) columns.push_back({"variant"});
  for (const Objective* measure : measures) columns.push_back({std::string(measure->name), Align::right});
  columns.push_back({"DP", Align::right});
  for (const PlanKey* key : keys) columns.push_back({std::string(key->title), Align::right});
  TextTable text(columns);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ParallelPlan plan = plan_of(sweep, rows[i]);
    std::vector<std::string> cells{std::to_string(i + 1)};
    if (sweep.variants.size() > 1) cells.push_back(sweep.variants[rows[i].variant].name);
    const Facts facts = facts_of(sweep, rows[i]);
    for (const Objective* measure : measures) cells.push_back(shown(measure->shown(facts), measure->unit));
    cells.push_back(std::to_string(plan.data_parallel));
    for (const PlanKey* key : keys) {
      const std::string value = text_of(plan, *key);
      cells.push_back(value == "true" ? "on" : value == "false" ? "off" : value);
    }
    text.add_row(std::move(cells));
  }
  std::string out = text.to_string();
  if (const std::string shared = shared_text(sweep, rows, keys); !shared.empty()) out += "all: " + shared + "\n";
  return out;
}

std::string tally_text(const Sweep& sweep, const SearchResult& found, bool exhaustive) {
  const Tally& tally = found.tally;
  const auto count = [](std::uint64_t n) { return count_text(static_cast<double>(n)); };
  std::string text =
      fmt::format("{} configurations considered in {}", count(tally.considered), to_text(Seconds(found.seconds)));
  if (found.bounds_per_s > 0)
    text += fmt::format(" ({} a second in the walk)", count_text(std::round(found.bounds_per_s)));
  text += "\n";
  TextTable rows({{"", Align::right}, {""}});
  rows.add_row({count(tally.same), "differ from another only in a key that changes nothing"});
  rows.add_row({count(tally.infeasible_sum()), "infeasible:"});
  std::vector<std::pair<std::string, std::uint64_t>> reasons(tally.infeasible.begin(), tally.infeasible.end());
  std::sort(reasons.begin(), reasons.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  for (std::size_t i = 0; i < reasons.size() && i < 8; ++i)
    rows.add_row({count(reasons[i].second), "  " + reasons[i].first});
  if (reasons.size() > 8) rows.add_row({"", fmt::format("  and {} more reasons (--format json)", reasons.size() - 8)});
  rows.add_row({count(tally.pruned), "pruned: even at their lower bound they are no better"});
  std::string simulated = "simulated";
  if (tally.known > 0) simulated += fmt::format(", {} of them before", count(tally.known));
  if (found.simulated_per_s > 0)
    simulated += fmt::format(" ({} a second)", count_text(std::round(found.simulated_per_s)));
  rows.add_row({count(tally.simulated), simulated});
  text += rows.to_string();
  if (exhaustive) {
    text += "Everything that fits was simulated.\n";
  } else if (!found.best.empty()) {
    text += fmt::format("Proven: no other plan of the space has a better {} than those above.\n",
                        sweep.pareto.empty() ? std::string(sweep.objective->name) : "pair of objectives");
  }
  return text;
}

nlohmann::ordered_json row_json(const Sweep& sweep, const Result& row) {
  const ParallelPlan plan = plan_of(sweep, row);
  const Facts facts = facts_of(sweep, row);
  nlohmann::ordered_json plan_json;
  plan_json["data_parallel"] = plan.data_parallel;
  for (const PlanKey& key : plan_keys()) {
    const PlanValue value = value_of(plan, key);
    const std::string text = text_of(plan, key);
    if (text.empty()) continue;
    if (text == "true" || text == "false") {
      plan_json[std::string(key.name)] = text == "true";
    } else if (const double* number = std::get_if<double>(&value)) {
      plan_json[std::string(key.name)] = static_cast<std::int64_t>(*number);
    } else {
      plan_json[std::string(key.name)] = text;
    }
  }
  nlohmann::ordered_json json;
  json["variant"] = sweep.variants[row.variant].name;
  json["configuration"] = row.id;
  json["step_time_s"] = row.step_s;
  json["bound_s"] = row.bound_s;
  json["memory_bytes"] = row.memory_bytes;
  json["mfu"] = find_objective("mfu")->shown(facts);
  json["objective"] = sweep.objective->shown(facts);
  json["plan"] = plan_json;
  return json;
}

std::string csv_text(const Sweep& sweep, const std::vector<Result>& rows) {
  std::string text = "variant,configuration,step_time_s,bound_s,memory_bytes,mfu,objective,data_parallel";
  for (const PlanKey& key : plan_keys()) text += fmt::format(",{}", key.name);
  text += "\n";
  for (const Result& row : rows) {
    const ParallelPlan plan = plan_of(sweep, row);
    const Facts facts = facts_of(sweep, row);
    std::string name = sweep.variants[row.variant].name;
    std::replace(name.begin(), name.end(), '"', '\'');
    text += fmt::format("\"{}\",{},{},{},{},{},{},{}", name, row.id, row.step_s, row.bound_s, row.memory_bytes,
                        find_objective("mfu")->shown(facts), sweep.objective->shown(facts), plan.data_parallel);
    for (const PlanKey& key : plan_keys()) text += "," + text_of(plan, key);
    text += "\n";
  }
  return text;
}

void print_progress(const Progress& progress, std::chrono::steady_clock::time_point began) {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const bool walking = progress.walked < progress.of;
  const double done = static_cast<double>(progress.walked),
               of = static_cast<double>(std::max<std::uint64_t>(1, progress.of));
  std::string bar(static_cast<std::size_t>(20 * done / of), '#');
  bar.resize(20, '.');
  std::string line = fmt::format("\r[{}] {} of {}", bar, count_text(done), count_text(of));
  if (walking && done > 0) line += fmt::format(", {:.0f} s left", seconds / done * (of - done));
  line += fmt::format(", {} simulated", count_text(static_cast<double>(progress.simulated)));
  if (!walking && progress.waiting > 0)
    line += fmt::format(", {} waiting at most", count_text(static_cast<double>(progress.waiting)));
  if (progress.best != nullptr) line += ", best " + to_text(Seconds(progress.best->step_s));
  std::fprintf(stderr, "%-110s", line.c_str());
}

std::string text_report(const Sweep& sweep, const SearchResult& found, bool exhaustive) {
  std::string text = sweep.name + "\n";
  if (found.best.empty()) return text + "Nothing in the space can run.\n\n" + tally_text(sweep, found, exhaustive);
  if (found.front.empty()) {
    text += fmt::format("The best by {}\n\n", sweep.objective->name) + table(sweep, found.best);
  } else {
    text += fmt::format("None better in both {} and {}\n\n", sweep.pareto[0]->name, sweep.pareto[1]->name) +
            table(sweep, found.front);
  }
  return text + "\n" + tally_text(sweep, found, exhaustive);
}

/// One of the best plans with its layers moved, and both with every rank and shared links.
struct RefinedRow {
  Refined refined;
  Seconds events, refined_events;
};

std::vector<RefinedRow> refine(const Sweep& sweep, const SearchResult& found, int count) {
  std::vector<RefinedRow> rows;
  const std::vector<Result>& plans = found.front.empty() ? found.best : found.front;
  for (std::size_t i = 0; i < plans.size() && i < static_cast<std::size_t>(count); ++i) {
    Job job = sweep.variants[plans[i].variant].base;
    job.plan = plan_of(sweep, plans[i]);
    RefinedRow row{refine_layers(job, {.memory_headroom_bytes = sweep.memory_headroom_bytes}), {}, {}};
    const ExecutionOptions every_rank{.executor = Executor::events, .fold = false};
    row.events = row.refined_events = predict(job, every_rank).step_time;
    if (row.refined.plan != job.plan) {
      job.plan = row.refined.plan;
      row.refined_events = predict(job, every_rank).step_time;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

/// What makes the plan this one, as `--set` takes it.
std::string sets_of(const Refined& refined) {
  if (refined.plan.layer_split != LayerSplit::given) return "";
  return fmt::format("--set plan.layer_split='[{}]' --set plan.recompute={}", fmt::join(refined.layers, ","),
                     refined.plan.recompute);
}

std::string refined_text(const std::vector<RefinedRow>& rows) {
  TextTable table({{"", Align::right},
                   {"as it is", Align::right},
                   {"layers moved", Align::right},
                   {"", Align::right},
                   {"events, every rank", Align::right},
                   {"layers moved", Align::right},
                   {""}});
  std::string sets;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Refined& refined = rows[i].refined;
    table.add_row({std::to_string(i + 1), to_text(Seconds(refined.given_s)), to_text(Seconds(refined.step_s)),
                   fmt::format("{:+.1f}%", 100 * (refined.step_s / refined.given_s - 1)), to_text(rows[i].events),
                   to_text(rows[i].refined_events),
                   refined.proven ? "no other split of the layers is faster"
                                  : fmt::format("best of {} that were tried", refined.tried + 1)});
    if (const std::string set = sets_of(refined); !set.empty()) sets += fmt::format("{}: {}\n", i + 1, set);
  }
  return "\nThe best with layers moved between stages, and again with the events executor, every rank and shared "
         "links\n\n" +
         table.to_string() + (sets.empty() ? "" : "\n" + sets);
}

nlohmann::ordered_json refined_json(const std::vector<RefinedRow>& rows) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const RefinedRow& row : rows) {
    nlohmann::ordered_json json;
    json["step_time_s"] = row.refined.given_s;
    json["refined_step_time_s"] = row.refined.step_s;
    json["events_step_time_s"] = row.events.si();
    json["refined_events_step_time_s"] = row.refined_events.si();
    json["layer_split"] = row.refined.layers;
    json["recompute"] = row.refined.plan.recompute;
    json["proven"] = row.refined.proven;
    json["tried"] = row.refined.tried;
    all.push_back(std::move(json));
  }
  return all;
}

std::string json_text(const Sweep& sweep, const SearchResult& found, bool exhaustive,
                      const std::vector<RefinedRow>& refined) {
  nlohmann::ordered_json json;
  json["schema_version"] = 1;
  json["sweep"] = sweep.name;
  json["objective"] = std::string(sweep.objective->name);
  json["proven"] = true;
  json["exhaustive"] = exhaustive;
  json["considered"] = found.tally.considered;
  json["same"] = found.tally.same;
  json["infeasible"] = found.tally.infeasible;
  json["pruned"] = found.tally.pruned;
  json["simulated"] = found.tally.simulated;
  json["known"] = found.tally.known;
  json["seconds"] = found.seconds;
  json["walked_per_s"] = found.bounds_per_s;
  json["simulated_per_s"] = found.simulated_per_s;
  json["best"] = nlohmann::ordered_json::array();
  for (const Result& row : found.best) json["best"].push_back(row_json(sweep, row));
  json["front"] = nlohmann::ordered_json::array();
  for (const Result& row : found.front) json["front"].push_back(row_json(sweep, row));
  if (!refined.empty()) json["refined"] = refined_json(refined);
  return json.dump(2) + "\n";
}

Exit finish(const Options& options, const Sweep& sweep, const SearchResult& found) {
  if (options.format == "json") {
    print_result(json_text(sweep, found, options.exhaustive, refine(sweep, found, options.refine)));
  } else if (options.format == "csv") {
    print_result(csv_text(sweep, found.front.empty() ? found.best : found.front));
  } else {
    print_result(text_report(sweep, found, options.exhaustive));
    if (options.refine > 0 && !found.best.empty()) print_result(refined_text(refine(sweep, found, options.refine)));
  }
  return found.best.empty() ? Exit::answered_no : Exit::done;
}

Exit run(const Options& options) {
  if (options.help_file) {
    print_result(sweep_help());
    return Exit::done;
  }
  chosen("format", options.format, answer_formats);
  Sweep sweep = load_sweep(options.inputs.one_file("SWEEP"), options.inputs.overrides());
  if (options.top > 0) sweep.top = options.top;
  SearchOptions search_options;
  search_options.jobs = options.jobs;
  search_options.top = sweep.top;
  search_options.exhaustive = options.exhaustive;
  read_shard(options.shard, search_options);
  if (options.resume && options.out.empty())
    throw UserError("--resume goes on in a store: name it with --out FILE.sqlite");
  const std::unique_ptr<Distributor> processes = launched_processes();
  search_options.distributor = processes.get();
  if (processes && !processes->coordinates()) {
    processes->serve(make_search_part(sweep, search_options));
    return Exit::done;
  }
  std::optional<Store> store;
  if (!options.out.empty()) {
    store.emplace(options.out, sweep, STEPCAST_VERSION, options.resume);
    search_options.recorder = &*store;
  }
  const bool progress = is_terminal(stderr);
  const auto began = std::chrono::steady_clock::now();
  if (progress) search_options.progress = [&](const Progress& now) { print_progress(now, began); };
  const SearchResult found = search(sweep, search_options);
  if (progress) std::fprintf(stderr, "\r%-110s\r", "");
  if (store) store->finish(fmt::format("{}/{}", search_options.shard, search_options.shards), found.tally);
  return finish(options, sweep, found);
}

struct MergeOptions {
  Inputs inputs;
  std::string sweep;
  std::string out;
  std::string format = "text";
};

Exit run_merge(const MergeOptions& options) {
  if (options.out.empty()) throw UserError("--out FILE.sqlite is missing; --help has examples");
  if (options.sweep.empty()) throw UserError("--sweep SWEEP is missing: the file that the shards searched");
  const Sweep sweep = load_sweep(options.sweep, options.inputs.overrides());
  if (options.inputs.files().empty()) throw UserError("FILES is missing: the stores of the shards");
  Store store(options.out, sweep, STEPCAST_VERSION, true);
  for (const std::string& file : options.inputs.files()) store.merge(file);
  SearchResult found = best_of(sweep, store.results(), sweep.top);
  found.tally = store.tally();
  Options shown;
  shown.format = options.format;
  return finish(shown, sweep, found);
}

constexpr const char* examples = R"(Examples:
  stepcast sweep scenarios/quickstart.yaml                        any scenario: all plans that are sensible
  stepcast sweep scenarios/sweeps/gpt3-175b-4096-a100.yaml --top 5
  stepcast sweep SWEEP --out results.sqlite                       keeps what is simulated; --resume goes on after a stop
  stepcast sweep SWEEP --refine 3                                 moves layers between the stages of the best three
  mpirun -n 4 stepcast sweep SWEEP --out results.sqlite           one of them hands out the work, all do it
  stepcast sweep SWEEP --shard 3/16 --out part-3.sqlite           one part of a Slurm array or an indexed job
  stepcast sweep merge part-*.sqlite --sweep SWEEP --out all.sqlite
  stepcast sweep --help-file                                      every key of a sweep file)";

}  // namespace

Action add_sweep(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->inputs.add(app, "SWEEP", Inputs::Count::one, "A sweep file, or any scenario");
  app.add_option("--top", options->top, "How many of the best to prove (default: the file's, or 10)")
      ->check(CLI::Range(1, 100'000));
  app.add_option("--jobs", options->jobs, "Threads; 0: one a core")->capture_default_str()->check(CLI::Range(0, 4096));
  app.add_flag("--exhaustive", options->exhaustive,
               "Simulate all that fits, instead of proving that it cannot be better");
  app.add_option("--refine", options->refine,
                 "Of so many of the best, move layers between stages, and simulate every rank with the events executor")
      ->type_name("K")
      ->check(CLI::Range(0, 1000));
  app.add_option("--out", options->out, "Keep what is simulated in an SQLite file")->type_name("FILE");
  app.add_flag("--resume", options->resume, "Go on in that file");
  app.add_option("--shard", options->shard, "Search one part of N: I/N, from 0/N")->type_name("I/N");
  app.add_option("--format", options->format, names_of(answer_formats))->type_name("FORMAT")->capture_default_str();
  app.add_flag("--help-file", options->help_file, "Print every key of a sweep file");
  app.footer(examples);

  const auto merge_options = std::make_shared<MergeOptions>();
  CLI::App* merge = app.add_subcommand("merge", "Bring the stores of shards together, and answer for all of them");
  merge->allow_extras();
  merge_options->inputs.add(*merge, "FILES", Inputs::Count::many, "Stores of finished shards");
  merge->add_option("--sweep", merge_options->sweep, "The sweep file that they searched")->type_name("SWEEP");
  merge->add_option("--out", merge_options->out, "The store to write")->type_name("FILE");
  merge->add_option("--format", merge_options->format, names_of(answer_formats))
      ->type_name("FORMAT")
      ->capture_default_str();
  app.require_subcommand(0, 1);
  return [&app, options, merge_options] {
    if (!app.get_subcommands().empty()) return run_merge(*merge_options);
    return run(*options);
  };
}

}  // namespace stepcast::cli
