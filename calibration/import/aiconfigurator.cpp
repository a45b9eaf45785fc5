#include "calibration/import/importer.hpp"
#include "simulator/base/csv.hpp"

namespace stepcast {
namespace {

Measurement common(const CsvRow& row, const ImportOptions& options, const std::string& file) {
  Measurement measurement;
  measurement.device = row.text("gpu");
  name_gpu(measurement, options);
  measurement.library = row.text("framework");
  measurement.source = "ai-dynamo/aiconfigurator, " + file;
  measurement.time_us = row.positive("time_ms") * 1e3;
  return measurement;
}

/// The generation of kernel that a framework calls on a GPU.
std::string attention_kernel(const std::string& framework, const std::string& kernel, const std::string& gpu) {
  if (kernel == "flash_attention") return gpu.rfind("a100", 0) == 0 ? "flash2" : "flash3";  // SGLang
  return framework.substr(0, framework.find('-'));                                          // TensorRT-LLM's own
}

}  // namespace

Imported import_aiconfigurator(const std::string& path, std::string_view text, const ImportOptions& options) {
  const CsvTable table(path, text);
  const bool attention = table.has("seqlen");
  table.require({"gpu", "framework", "dtype", "time_ms"},
                "aiconfigurator's tables have gpu, framework, dtype, time_ms");
  if (attention)
    table.require({"kernel", "batch", "seqlen", "heads", "kv_heads", "head_dim", "window"},
                  "a table of prefill attention has kernel, batch, seqlen, heads, kv_heads, head_dim, window");
  else
    table.require({"op", "m", "n", "k"}, "a table of GEMMs has op, m, n, k");

  Imported imported;
  for (const CsvRow& row : table.rows()) {
    const std::string& dtype = row.text("dtype");
    Measurement measurement = common(row, options, file_name_of(path));
    if (attention) {
      const std::int64_t length = row.count("seqlen");
      measurement.point = AttentionPoint{row.count("batch"),
                                         row.count("heads"),
                                         row.count("kv_heads"),
                                         length,
                                         length,
                                         row.count("head_dim"),
                                         true,
                                         false,
                                         dtype,
                                         attention_kernel(measurement.library, row.text("kernel"), measurement.gpu)};
    } else {
      measurement.point = GemmPoint{row.count("m"), row.count("n"), row.count("k"), 1, "tn", dtype, false};
      // The fp8 times hold the kernels that quantise the activations; see calibration/fit/gemm.cpp.
      if (dtype == "fp8") measurement.library += "+quantise";
    }
    if (!options.dtype.empty() && dtype != options.dtype) {
      ++imported.left_out["dtype " + dtype];
    } else if (dtype != "bf16" && dtype != "fp16" && dtype != "fp8") {
      ++imported.left_out["dtype " + dtype + " (not one of ours)"];
    } else if (attention && row.count("window", 0) != 0) {
      ++imported.left_out["sliding window"];
    } else {
      imported.rows.push_back({std::move(measurement), row.line()});
    }
  }
  return imported;
}

}  // namespace stepcast
