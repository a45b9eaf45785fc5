#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/base/files.hpp"
#include "simulator/base/text_table.hpp"
#include "simulator/budget/shape.hpp"
#include "simulator/units/text.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Count {
  std::string_view name;
  ShapeSize of;
};
constexpr Count counts[] = {{"total", ShapeSize::total},
                            {"active", ShapeSize::active},
                            {"non-embedding", ShapeSize::non_embedding},
                            {"non-embedding-with-attention", ShapeSize::non_embedding_with_attention}};

struct Options {
  ShapeRequest request;
  std::string count = "total";
  std::int64_t experts = 0, top_k = 0, shared_experts = -1, expert_ffn = 0, vocab = 0;
  double active_ratio = 0;
  std::string out;
  std::string format = "text";
};

std::string billions(double parameters) { return number_text(parameters / 1e9) + " billion"; }

std::string text_of(const Shape& shape, const Options& options) {
  const Architecture& model = shape.model;
  TextTable table({{""}, {"", Align::right}});
  const auto add = [&](const std::string& name, const std::string& value) { table.add_row({name, value}); };
  add("layers", std::to_string(model.layers));
  add("hidden", std::to_string(model.hidden));
  add("heads", fmt::format("{} of {}", model.heads, model.head_dim));
  if (model.kv_heads != model.heads) add("key-value heads", std::to_string(model.kv_heads));
  if (model.ffn) add("ffn", std::to_string(*model.ffn));
  if (model.moe) {
    add("experts", fmt::format("{} of {}", model.moe->experts, model.moe->expert_ffn));
    add("a token visits",
        fmt::format("{}{}", model.moe->top_k,
                    model.moe->shared_experts > 0 ? fmt::format(" and {} shared", model.moe->shared_experts) : ""));
  }
  add("vocabulary", fmt::format("{}{}", model.vocab, model.tied_embeddings ? ", one table for both ends" : ""));
  add("parameters", billions(shape.count.total));
  if (shape.count.active != shape.count.total) add("active", billions(shape.count.active));
  add("without embeddings", billions(shape.count.non_embedding));
  add(fmt::format("off the {} asked for", number_text(options.request.parameters / 1e9) + "B"),
      fmt::format("{:+.2f}%", 100 * shape.off));
  add(fmt::format("FLOPs a token, sequences of {:.0f}", options.request.sequence_length),
      to_text(flops_per_token(model, options.request.sequence_length)));
  return table.to_string() + "\n" + model_text(model);
}

std::string json_of(const Shape& shape, const Options& options) {
  const Architecture& model = shape.model;
  nlohmann::ordered_json json{{"schema_version", 1},
                              {"family", options.request.family},
                              {"layers", model.layers},
                              {"hidden", model.hidden},
                              {"heads", model.heads},
                              {"kv_heads", model.kv_heads},
                              {"head_dim", model.head_dim},
                              {"ffn", nullptr},
                              {"moe", nullptr},
                              {"vocab", model.vocab},
                              {"tied_embeddings", model.tied_embeddings},
                              {"parameters", shape.count.total},
                              {"active_parameters", shape.count.active},
                              {"non_embedding_parameters", shape.count.non_embedding},
                              {"off", shape.off},
                              {"flops_per_token", flops_per_token(model, options.request.sequence_length).si()}};
  if (model.ffn) json["ffn"] = *model.ffn;
  if (model.moe)
    json["moe"] = {{"experts", model.moe->experts},
                   {"top_k", model.moe->top_k},
                   {"expert_ffn", model.moe->expert_ffn},
                   {"shared_experts", model.moe->shared_experts}};
  return json.dump(2) + "\n";
}

Exit run(Options options) {
  if (options.format != "text" && options.format != "json")
    throw UserError(unknown_name("format", options.format, {"text", "json"}));
  if (options.request.parameters == 0) throw UserError("plan shape needs --parameters N; --help has examples");
  options.request.of = chosen("count", options.count, counts).of;
  ExpertChoice& experts = options.request.experts;
  if (options.experts != 0) experts.experts = options.experts;
  if (options.top_k != 0) experts.top_k = options.top_k;
  if (options.shared_experts >= 0) experts.shared_experts = options.shared_experts;
  if (options.expert_ffn != 0) experts.expert_ffn = options.expert_ffn;
  if (options.active_ratio != 0) experts.active_ratio = options.active_ratio;
  if (options.vocab != 0) options.request.vocab = options.vocab;
  const ShapeAnswer answer = shape_of(options.request);
  if (!answer.shape) {
    print_note(answer.refusal);
    return Exit::answered_no;
  }
  if (!options.out.empty()) write_file_atomically(options.out, model_text(answer.shape->model));
  print_result(options.format == "json" ? json_of(*answer.shape, options) : text_of(*answer.shape, options));
  return Exit::done;
}

constexpr const char* examples =
    R"(What is printed below the table is a model: as scenarios and presets take it; --out writes it to a file.

Examples:
  stepcast plan shape --family llama3 --parameters 97e9 --tensor-parallel 8 --layers-divide-by 16
  stepcast plan shape --family moe --parameters 37e9 --count active --experts 256 --active-ratio 0.05 --out my-moe.yaml
  stepcast list families)";

}  // namespace

Action add_plan_shape(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  ShapeRequest& request = options->request;
  app.add_option("--family", request.family, names_of(shape_families()))->type_name("NAME")->capture_default_str();
  app.add_option("--parameters", request.parameters, "Their number: 7e9")->type_name("N");
  app.add_option("--count", options->count, "What of the model has that number: " + names_of(counts))
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--tensor-parallel", request.tensor_parallel, "Divides the heads")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--layers-divide-by", request.layers_divide_by, "Pipeline stages x virtual stages")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--expert-parallel", request.expert_parallel, "Divides the experts")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--sequence-length", request.sequence_length, "Of learned positions, and for FLOPs a token")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--tolerance", request.tolerance, "Share that the number may be missed by")
      ->type_name("SHARE")
      ->capture_default_str();
  app.add_option("--vocab", options->vocab, "Left out: the family's")->type_name("N");
  app.add_option("--experts", options->experts, "Of moe; left out: as published models of that size")->type_name("N");
  app.add_option("--top-k", options->top_k, "Experts that a token visits")->type_name("N");
  app.add_option("--shared-experts", options->shared_experts, "That every token visits")->type_name("N");
  app.add_option("--expert-ffn", options->expert_ffn, "Width of an expert")->type_name("N");
  app.add_option("--active-ratio", options->active_ratio, "Of the parameters without embeddings, what a token passes")
      ->type_name("SHARE");
  app.add_option("--out", options->out, "The model")->type_name("MODEL.yaml");
  app.add_option("--format", options->format, "text|json")->type_name("FORMAT")->capture_default_str();
  app.footer(examples);
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
