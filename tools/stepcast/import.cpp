#include <algorithm>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "simulator/base/files.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  std::string file;
  std::string cluster;
  std::string vocab;
  std::string framework = "megatron-core";
};

/// Words of a launch command or of its flags, one a line or many; '#' begins a comment, a backslash ends a line.
std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in(line.substr(0, line.find('#')));
    for (std::string word; in >> word;) {
      std::erase_if(word, [](char c) { return c == '"' || c == '\'' || c == '\\' || c == '(' || c == ')'; });
      const std::size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
      if (equals != std::string::npos) {
        words.push_back(word.substr(0, equals));
        words.push_back(word.substr(equals + 1));
      } else if (!word.empty()) {
        words.push_back(word);
      }
    }
  }
  return words;
}

/// --flag and what follows it, up to the next flag.
std::map<std::string, std::string> flags_of(const std::vector<std::string>& words) {
  std::map<std::string, std::string> flags;
  std::string current;
  for (const std::string& word : words) {
    if (word.starts_with("--")) {
      current = word.substr(2);
      flags[current] = "";
    } else if (!current.empty()) {
      flags[current] += (flags[current].empty() ? "" : " ") + word;
    }
  }
  return flags;
}

/// A flag whose value goes under a scenario's key as it is.
struct Row {
  std::string_view flag, section, key;
};
constexpr Row rows[] = {{"num-layers", "model", "layers"},
                        {"hidden-size", "model", "hidden"},
                        {"num-attention-heads", "model", "heads"},
                        {"num-query-groups", "model", "kv_heads"},
                        {"kv-channels", "model", "head_dim"},
                        {"ffn-hidden-size", "model", "ffn"},
                        {"hidden-dropout", "model", "dropout"},
                        {"vocab-size", "model", "vocab"},
                        {"num-experts", "moe", "experts"},
                        {"moe-router-topk", "moe", "top_k"},
                        {"moe-ffn-hidden-size", "moe", "expert_ffn"},
                        {"moe-shared-expert-intermediate-size", "moe", "shared_ffn"},
                        {"tensor-model-parallel-size", "plan", "tensor_parallel"},
                        {"pipeline-model-parallel-size", "plan", "pipeline_parallel"},
                        {"context-parallel-size", "plan", "context_parallel"},
                        {"expert-model-parallel-size", "plan", "expert_parallel"},
                        {"expert-tensor-parallel-size", "plan", "expert_tensor_parallel"},
                        {"micro-batch-size", "plan", "microbatch"},
                        {"global-batch-size", "plan", "global_batch"},
                        {"seq-length", "plan", "sequence_length"}};

/// Flags that are read below, or that change nothing in a step.
constexpr std::string_view others[] = {"group-query-attention",
                                       "max-position-embeddings",
                                       "swiglu",
                                       "normalization",
                                       "position-embedding-type",
                                       "disable-bias-linear",
                                       "add-qkv-bias",
                                       "untie-embeddings-and-output-weights",
                                       "attention-dropout",
                                       "sequence-parallel",
                                       "num-layers-per-virtual-pipeline-stage",
                                       "num-virtual-stages-per-pipeline-rank",
                                       "use-distributed-optimizer",
                                       "use-torch-fsdp2",
                                       "overlap-grad-reduce",
                                       "overlap-param-gather",
                                       "no-overlap-p2p-communication",
                                       "tp-comm-overlap",
                                       "use-flash-attn",
                                       "recompute-granularity",
                                       "recompute-method",
                                       "recompute-num-layers",
                                       "recompute-modules",
                                       "recompute-activations",
                                       "bf16",
                                       "fp16",
                                       "fp8-format",
                                       "optimizer-cpu-offload",
                                       "moe-token-dispatcher-type",
                                       "squared-relu",
                                       "use-rotary-position-embeddings"};

std::int64_t number(const std::map<std::string, std::string>& flags, const std::string& name, std::int64_t fallback) {
  const auto found = flags.find(name);
  if (found == flags.end()) return fallback;
  try {
    std::size_t used = 0;
    const std::int64_t value = std::stoll(found->second, &used);
    if (used != found->second.size() || value < 1) throw std::invalid_argument(found->second);
    return value;
  } catch (const std::exception&) {
    throw UserError(fmt::format("--{} {}: a whole number is due", name, found->second));
  }
}

std::string recompute_of(const std::map<std::string, std::string>& flags) {
  if (flags.contains("recompute-activations")) return "selective";
  const auto granularity = flags.find("recompute-granularity");
  if (granularity == flags.end()) return "none";
  if (granularity->second == "selective") {
    const auto modules = flags.find("recompute-modules");
    if (modules == flags.end() || modules->second == "core_attn") return "selective";
    std::string name = "selective-" + modules->second;
    std::replace(name.begin(), name.end(), ' ', '-');
    std::replace(name.begin(), name.end(), '_', '-');
    return name;
  }
  const auto method = flags.find("recompute-method");
  if (method != flags.end() && method->second == "block")
    return fmt::format("full-{}-layers", number(flags, "recompute-num-layers", 1));
  return "full";
}

std::string scenario_of(const std::map<std::string, std::string>& flags, const Options& options) {
  std::map<std::string_view, std::string> sections;
  const auto put = [&](std::string_view section, std::string_view key, std::string_view value) {
    sections[section] += fmt::format("{}{}: {}\n", section == "moe" ? "    " : "  ", key, value);
  };
  for (const Row& row : rows) {
    const auto found = flags.find(std::string(row.flag));
    if (found == flags.end()) continue;
    if (row.flag != "hidden-dropout") number(flags, std::string(row.flag), 0);
    put(row.section, row.key, found->second);
  }
  const auto has = [&](const char* flag) { return flags.contains(flag); };
  const auto is = [&](const char* flag, std::string_view value) {
    return flags.contains(flag) && flags.at(flag) == value;
  };
  if (!has("vocab-size")) put("model", "vocab", options.vocab);
  put("model", "activation", has("swiglu") ? "swiglu" : has("squared-relu") ? "squared_relu" : "gelu");
  put("model", "norm", is("normalization", "RMSNorm") ? "rmsnorm" : "layernorm");
  const bool rope = is("position-embedding-type", "rope") || has("use-rotary-position-embeddings");
  put("model", "position", rope ? "rope" : is("position-embedding-type", "none") ? "none" : "learned");
  put("model", "bias", has("disable-bias-linear") ? "false" : "true");
  if (has("add-qkv-bias")) put("model", "qkv_bias", "true");
  put("model", "tied_embeddings", has("untie-embeddings-and-output-weights") ? "false" : "true");
  if (!rope && has("max-position-embeddings")) put("model", "max_positions", flags.at("max-position-embeddings"));

  put("plan", "sequence_parallel", has("sequence-parallel") ? "true" : "false");
  std::int64_t chunks = number(flags, "num-virtual-stages-per-pipeline-rank", 1);
  if (has("num-layers-per-virtual-pipeline-stage")) {
    const std::int64_t slots =
        number(flags, "pipeline-model-parallel-size", 1) * number(flags, "num-layers-per-virtual-pipeline-stage", 1);
    const std::int64_t layers = number(flags, "num-layers", 1);
    if (layers % slots != 0)
      throw UserError(fmt::format("{} layers do not divide by {} a round of the pipeline", layers, slots));
    chunks = layers / slots;
  }
  if (chunks > 1) put("plan", "virtual_stages", std::to_string(chunks));
  put("plan", "zero", has("use-torch-fsdp2") ? "3" : has("use-distributed-optimizer") ? "1" : "0");
  put("plan", "recompute", recompute_of(flags));
  put("plan", "precision", has("fp8-format") ? "fp8" : has("bf16") ? "bf16" : has("fp16") ? "fp16" : "fp32");
  if (has("optimizer-cpu-offload")) put("plan", "cpu_offload", "optimizer");

  std::string text = "name: from Megatron-LM's arguments\nmodel:\n  name: imported\n" + sections["model"];
  if (!sections["moe"].empty()) text += "  moe:\n" + sections["moe"];
  text += fmt::format("cluster: {}\nplan:\n{}framework:\n  name: {}\n", options.cluster, sections["plan"],
                      options.framework);
  text += fmt::format("  overlap_grad_reduce: {}\n  overlap_param_gather: {}\n  overlap_tp: {}\n",
                      has("overlap-grad-reduce"), has("overlap-param-gather"), has("tp-comm-overlap"));
  if (chunks > 1) text += fmt::format("  overlap_p2p: {}\n", !has("no-overlap-p2p-communication"));
  if (has("use-flash-attn")) text += "  flash_attention: true\n";
  if (has("moe-token-dispatcher-type")) {
    const std::string type = flags.at("moe-token-dispatcher-type");
    text += fmt::format("  dispatcher: {}\n", type == "flex" ? "deepep" : type);
  }
  return text;
}

Exit run_megatron(const Options& options) {
  if (options.file.empty()) throw UserError("ARGS is missing: a file with the flags, or - for standard input");
  if (options.cluster.empty())
    throw UserError("--cluster is missing: the flags do not say what they run on, as in --cluster dgx-h100-superpod");
  std::string text;
  if (options.file == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    text = read_file(options.file);
  }
  const auto flags = flags_of(words_of(text));
  for (const char* needed : {"num-layers", "hidden-size", "num-attention-heads", "seq-length", "global-batch-size"}) {
    if (!flags.contains(needed)) throw UserError(fmt::format("{}: --{} is missing", options.file, needed));
  }
  if (!flags.contains("vocab-size") && options.vocab.empty()) {
    throw UserError("--vocab N is missing: the flags take the vocabulary from the tokenizer");
  }
  std::string unread;
  for (const auto& [flag, value] : flags) {
    const bool known =
        std::any_of(std::begin(rows), std::end(rows), [&](const Row& row) { return row.flag == flag; }) ||
        std::find(std::begin(others), std::end(others), flag) != std::end(others);
    if (!known) unread += " --" + flag;
  }
  if (!unread.empty()) print_note("not read, since no scenario has them:" + unread);
  print_result(scenario_of(flags, options));
  return Exit::done;
}

Action add_megatron(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("ARGS", options->file, "A file with Megatron-LM's flags (a launch script will do), or -")
      ->type_name("");
  app.add_option("--cluster", options->cluster, "What it runs on: a preset, or a map as in a scenario")
      ->type_name("CLUSTER");
  app.add_option("--vocab", options->vocab, "The tokenizer's vocabulary")->type_name("N");
  app.add_option("--framework", options->framework, "The profile of its software")
      ->type_name("NAME")
      ->capture_default_str();
  app.footer(R"(Examples:
  stepcast import megatron-args pretrain.sh --cluster '{node: dgx-h100, nodes: 8}' --vocab 128256 > scenario.yaml
  stepcast emit scenarios/quickstart.yaml | stepcast import megatron-args - --cluster '{node: dgx-a100-80gb, nodes: 8}' --vocab 51200)");
  return [options] { return run_megatron(*options); };
}

const std::vector<Command>& table() {
  static const std::vector<Command> rows_of_table{
      {"megatron-args", "A scenario from the flags of a Megatron-LM run", add_megatron}};
  return rows_of_table;
}

}  // namespace

Action add_import(CLI::App& app) {
  return add_subcommands(
      app, table(),
      "Examples:\n  stepcast import megatron-args pretrain.sh --cluster '{node: dgx-h100, nodes: 8}' --vocab 128256");
}

}  // namespace stepcast::cli
