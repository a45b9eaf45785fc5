#include "calibration/import/importer.hpp"
#include "simulator/base/csv.hpp"

namespace stepcast {

Imported import_superbench(const std::string& path, std::string_view text, const ImportOptions& options) {
  const CsvTable table(path, text);
  table.require({"gpu", "source", "item", "size_bytes", "GBps"},
                "SuperBench's table of copies has gpu, source, item, size_bytes, GBps");
  Imported imported;
  for (const CsvRow& row : table.rows()) {
    const std::string& item = row.text("item");
    const double rate = row.positive("GBps") * 1e9;
    if (row.text("size_bytes").empty()) {
      ++imported.left_out["no size"];
      continue;
    }
    if (item != "h2d" && item != "d2h" && item != "d2d") {
      ++imported.left_out["item " + item];
      continue;
    }
    Measurement measurement;
    measurement.device = row.text("gpu");
    name_gpu(measurement, options);
    measurement.library = "superbench";
    measurement.source = "microsoft/superbenchmark, " + row.text("source");
    const std::int64_t bytes = row.count("size_bytes");
    measurement.time_us = static_cast<double>(bytes) / rate * 1e6;
    measurement.point = CopyPoint{item == "h2d" ? "host" : "device", item == "d2h" ? "host" : "device", bytes};
    imported.rows.push_back({std::move(measurement), row.line()});
  }
  return imported;
}

}  // namespace stepcast
