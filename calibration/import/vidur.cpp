#include <algorithm>

#include <fmt/format.h>

#include "calibration/import/importer.hpp"
#include "simulator/base/csv.hpp"

namespace stepcast {
namespace {

constexpr std::int64_t half_bytes = 2;

/// Reads and writes of one element of the row width that the table names.
struct MemoryOp {
  std::string_view name;
  std::string_view op;
  std::int64_t touches;
};
constexpr MemoryOp memory_op_names[] = {
    {"add", "residual_add", 3},         // two in, one out
    {"input_layernorm", "rmsnorm", 2},  // in, out
    {"post_attention_layernorm", "rmsnorm", 2},
    {"mlp_act", "swiglu", 3},  // gate and up in, one out
};
/// Phi's layer has LayerNorm and GELU, and adds attention and feed-forward in one row, two kernels.
constexpr MemoryOp phi_op_names[] = {{"input_layernorm", "layernorm", 2}, {"mlp_act", "gelu", 2}};

const MemoryOp* memory_op(const std::string& name, const std::string& model) {
  const bool phi = model.rfind("phi", 0) == 0;
  const MemoryOp* const begin = phi ? std::begin(phi_op_names) : std::begin(memory_op_names);
  const MemoryOp* const end = phi ? std::end(phi_op_names) : std::end(memory_op_names);
  const MemoryOp* const found = std::find_if(begin, end, [&](const MemoryOp& known) { return known.name == name; });
  return found == end ? nullptr : found;
}

Measurement common(const CsvRow& row, const ImportOptions& options, const std::string& file) {
  Measurement measurement;
  measurement.device = row.text("gpu");
  name_gpu(measurement, options);
  measurement.library = "vidur";
  measurement.source = "microsoft/vidur, " + file;
  measurement.repeats = row.count("samples");
  measurement.time_us = row.positive("time_ms") * 1e3;
  return measurement;
}

}  // namespace

Imported import_vidur(const std::string& path, std::string_view text, const ImportOptions& options) {
  const CsvTable table(path, text);
  const bool gemms = table.has("k");
  table.require({"gpu", "op", "dtype", "time_ms", "samples"},
                "Vidur's tables have gpu, op, ..., dtype, time_ms, samples");
  if (gemms)
    table.require({"m", "n", "k"}, "Vidur's linear layers have m, n, k");
  else
    table.require({"num_tokens", "width"}, "Vidur's memory-bound operators have num_tokens, width");

  Imported imported;
  for (const CsvRow& row : table.rows()) {
    Measurement measurement = common(row, options, file_name_of(path));
    const std::string& dtype = row.text("dtype");
    if (!options.dtype.empty() && dtype != options.dtype) {
      ++imported.left_out["dtype " + dtype];
      continue;
    }
    if (dtype != "fp16" && dtype != "bf16") row.fail("Vidur's tables are fp16 or bf16, not '" + dtype + "'");
    if (gemms) {
      measurement.point = GemmPoint{row.count("m"), row.count("n"), row.count("k"), 1, "tn", dtype, false};
    } else {
      const std::int64_t tokens = row.count("num_tokens");
      const std::int64_t width = row.count("width");
      const std::string& name = row.text("op");
      const MemoryOp* const op = memory_op(name, table.has("model") ? row.text("model") : "");
      if (op == nullptr) {
        ++imported.left_out["operator " + name];  // attn_rope's and emb's traffic is not said by their width
        continue;
      }
      measurement.point = MemoryPoint{std::string(op->op), op->touches * tokens * width * half_bytes, width, true};
    }
    imported.rows.push_back({std::move(measurement), row.line()});
  }
  return imported;
}

}  // namespace stepcast
