#include <fmt/format.h>

#include "calibration/import/importer.hpp"
#include "simulator/base/csv.hpp"

namespace stepcast {
namespace {

Measurement common(const CsvRow& row, const ImportOptions& options, const std::string& file) {
  Measurement measurement;
  measurement.device = row.text("gpu");
  name_gpu(measurement, options);
  measurement.library = row.text("backend");
  measurement.source = "NVIDIA/cudnn-frontend, " + file;
  measurement.time_us = row.positive("time_ms") * 1e3;
  return measurement;
}

bool is_backward(const CsvRow& row) {
  const std::string& pass = row.text("pass");
  if (pass != "fwd" && pass != "bwd") row.fail("a pass is fwd or bwd, not '" + pass + "'");
  return pass == "bwd";
}

Imported attention(const CsvTable& table, const ImportOptions& options) {
  table.require({"gpu", "backend", "dtype", "mask", "batch", "seq_q", "seq_kv", "heads_q", "heads_kv", "head_dim_qk",
                 "head_dim_vo", "deterministic_bwd", "pass", "time_ms"},
                "cuDNN's attention benchmark has gpu, backend, dtype, mask, batch, seq_q, ...");
  Imported imported;
  for (const CsvRow& row : table.rows()) {
    Measurement measurement = common(row, options, file_name_of(table.path()));
    const std::string& mask = row.text("mask");
    const std::string& dtype = row.text("dtype");
    measurement.point = AttentionPoint{row.count("batch"), row.count("heads_q"), row.count("heads_kv"),
                                       row.count("seq_q"), row.count("seq_kv"),  row.count("head_dim_qk"),
                                       mask == "causal",   is_backward(row),     dtype,
                                       measurement.library};
    if (mask != "causal" && mask != "no_mask") {
      ++imported.left_out["mask " + mask];
    } else if (dtype != "bf16" && dtype != "fp16") {
      ++imported.left_out["dtype " + dtype];
    } else if (row.text("deterministic_bwd") == "True") {
      ++imported.left_out["deterministic backward"];
    } else if (row.text("head_dim_qk") != row.text("head_dim_vo")) {
      ++imported.left_out["head dimensions of queries and values differ"];
    } else {
      imported.rows.push_back({std::move(measurement), row.line()});
    }
  }
  return imported;
}

/// Their count of bytes is the bandwidth's times the time.
Imported norms(const CsvTable& table, const ImportOptions& options) {
  table.require({"gpu", "norm", "backend", "dtype", "rows", "cols", "pass", "time_ms", "gbps"},
                "cuDNN's norm benchmark has gpu, norm, backend, dtype, rows, cols, pass, time_ms, gbps");
  Imported imported;
  for (const CsvRow& row : table.rows()) {
    Measurement measurement = common(row, options, file_name_of(table.path()));
    const std::string& norm = row.text("norm");
    if (norm != "rms_norm" && norm != "layer_norm") row.fail("a norm is rms_norm or layer_norm, not '" + norm + "'");
    const double bytes = row.positive("gbps") * 1e9 * measurement.time_us * 1e-6;
    measurement.point =
        MemoryPoint{(norm == "rms_norm" ? "rmsnorm" : "layernorm") + std::string(is_backward(row) ? "_backward" : ""),
                    std::max<std::int64_t>(1, static_cast<std::int64_t>(bytes)), row.count("cols")};
    imported.rows.push_back({std::move(measurement), row.line()});
  }
  return imported;
}

}  // namespace

Imported import_cudnn_frontend(const std::string& path, std::string_view text, const ImportOptions& options) {
  const CsvTable table(path, text);
  return table.has("norm") ? norms(table, options) : attention(table, options);
}

}  // namespace stepcast
