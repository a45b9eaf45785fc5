#include <fmt/format.h>

#include "calibration/import/importer.hpp"
#include "simulator/base/csv.hpp"

namespace stepcast {
namespace {

/// "b=1, m=4096, k=5120, n=1536, layout=TN, accumulate=False, out_dtype=bf16"
class Shape {
 public:
  Shape(const CsvRow& row, std::string_view text) : row_(row) {
    while (!text.empty()) {
      const std::size_t end = text.find(',');
      std::string_view item = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
      const std::size_t equals = item.find('=');
      if (equals == std::string_view::npos) row.fail(fmt::format("a shape is 'name=value, ...', not '{}'", item));
      fields_.emplace(item.substr(0, equals), item.substr(equals + 1));
    }
  }
  const std::string& text(const std::string& name) const {
    const auto found = fields_.find(name);
    if (found == fields_.end()) row_.fail("the shape has no '" + name + "'");
    return found->second;
  }
  std::int64_t count(const std::string& name) const {
    std::int64_t value = 0;
    if (!parse_count(text(name), value) || value < 1)
      row_.fail(fmt::format("'{}' is a whole number of at least 1, not '{}'", name, text(name)));
    return value;
  }

 private:
  const CsvRow& row_;
  std::map<std::string, std::string> fields_;
};

}  // namespace

Imported import_simumax(const std::string& path, std::string_view text, const ImportOptions& options) {
  const CsvTable table(path, text);
  table.require({"system", "op", "shape", "achieved_tflops"}, "SimuMax' table has system, op, shape, achieved_tflops");
  Imported imported;
  for (const CsvRow& row : table.rows()) {
    const std::string& op = row.text("op");
    const std::string& system = row.text("system");
    const double rate = row.positive("achieved_tflops") * 1e12;
    if (op != "matmul") {
      ++imported.left_out["operator " + op];
      continue;
    }
    const Shape shape(row, row.text("shape"));
    GemmPoint point{shape.count("m"), shape.count("n"), shape.count("k"), shape.count("b"), {}, "bf16", false};
    const std::string& layout = shape.text("layout");
    if (layout != "TN" && layout != "NN" && layout != "NT") row.fail("a layout is TN, NN or NT, not '" + layout + "'");
    point.layout = layout == "TN" ? "tn" : layout == "NN" ? "nn" : "nt";
    point.accumulate_fp32 = shape.text("accumulate") == "True";

    Measurement measurement;
    measurement.device = system;
    name_gpu(measurement, options);
    measurement.library = "simumax";
    measurement.source = "MooreThreads/SimuMax, " + file_name_of(path);
    const double flops = 2.0 * static_cast<double>(point.m) * static_cast<double>(point.n) *
                         static_cast<double>(point.k) * static_cast<double>(point.batch);
    measurement.time_us = flops / rate * 1e6;
    measurement.point = point;
    imported.rows.push_back({std::move(measurement), row.line()});
  }
  return imported;
}

}  // namespace stepcast
