#include "simulator/report/nccl_table.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace stepcast {
namespace {

constexpr double element_bytes = 4;  // float, nccl-tests' default

double GBps(BytesPerSecond rate) { return rate.si() / 1e9; }
BytesPerSecond algorithm_bandwidth(const CollectiveLine& line) {
  return line.time > Seconds(0) ? line.size / line.time : BytesPerSecond(0);
}

/// Four digits, as nccl-tests prints times.
std::string time_text(double us) {
  if (us < 10) return fmt::format("{:.3f}", us);
  if (us < 100) return fmt::format("{:.2f}", us);
  return us < 1000 ? fmt::format("{:.1f}", us) : fmt::format("{:.0f}", us);
}

}  // namespace

std::string nccl_table_text(const CollectiveTable& table) {
  constexpr const char* form = "{:>13}  {:>12}  {:>6}  {:>16}  {:>6}  {:>9}  {:>7}  {:>7}\n";
  std::string text = fmt::format("# {}, {}\n#\n", table.operation, table.where);
  const auto header = [&](auto... titles) { text += "#" + fmt::format(form, titles...).substr(1); };
  header("size", "count", "type", "algorithm", "proto", "time", "algbw", "busbw");
  header("(B)", "(elements)", "", "", "", "(us)", "(GB/s)", "(GB/s)");
  double sum = 0;
  for (const CollectiveLine& line : table.lines) {
    text += fmt::format(form, fmt::format("{:.0f}", line.size.si()),
                        fmt::format("{:.0f}", line.size.si() / element_bytes), "float", line.algorithm, line.protocol,
                        time_text(line.time / 1.0_us), fmt::format("{:.2f}", GBps(algorithm_bandwidth(line))),
                        fmt::format("{:.2f}", GBps(line.bus_bandwidth)));
    sum += GBps(line.bus_bandwidth);
  }
  if (!table.lines.empty()) {
    text += fmt::format("# Avg bus bandwidth    : {:.4g} GB/s\n", sum / static_cast<double>(table.lines.size()));
  }
  return text;
}

std::string nccl_table_json(const CollectiveTable& table) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const CollectiveLine& line : table.lines) {
    rows.push_back({{"size_bytes", line.size.si()},
                    {"algorithm", line.algorithm},
                    {"protocol", line.protocol},
                    {"time_s", line.time.si()},
                    {"algbw_bytes_per_s", algorithm_bandwidth(line).si()},
                    {"busbw_bytes_per_s", line.bus_bandwidth.si()}});
  }
  const nlohmann::ordered_json tree = {{"operation", table.operation}, {"where", table.where}, {"rows", rows}};
  return tree.dump(2) + "\n";
}

std::string nccl_table_csv(const CollectiveTable& table) {
  std::string text = "operation,size_bytes,algorithm,protocol,time_s,algbw_bytes_per_s,busbw_bytes_per_s\n";
  for (const CollectiveLine& line : table.lines) {
    text += fmt::format("{},{:.0f},{},{},{:.9g},{:.6g},{:.6g}\n", table.operation, line.size.si(), line.algorithm,
                        line.protocol, line.time.si(), algorithm_bandwidth(line).si(), line.bus_bandwidth.si());
  }
  return text;
}

}  // namespace stepcast
