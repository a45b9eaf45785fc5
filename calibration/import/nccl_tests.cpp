#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "calibration/import/importer.hpp"
#include "simulator/base/csv.hpp"

namespace stepcast {
namespace {

/// Names of the executables and of the reports, and ours.
struct Operation {
  std::string_view theirs;
  std::string_view ours;
};
constexpr Operation operations[] = {
    {"all_reduce", "all_reduce"},
    {"allreduce", "all_reduce"},
    {"all_gather", "all_gather"},
    {"allgather", "all_gather"},
    {"reduce_scatter", "reduce_scatter"},
    {"reducescatter", "reduce_scatter"},
    {"alltoall", "all_to_all"},
    {"all_to_all", "all_to_all"},
    {"sendrecv", "send_recv"},
    {"send_recv", "send_recv"},
    {"broadcast", "broadcast"},
    {"hypercube", "hypercube"},
    {"scatter", "scatter"},
    {"gather", "gather"},
    {"reduce", "reduce"},
};

struct Type {
  std::string_view theirs;
  std::string_view ours;
};
constexpr Type types[] = {
    {"float", "fp32"},  {"half", "fp16"},   {"bfloat16", "bf16"}, {"double", "fp64"},  {"int8", "int8"},
    {"uint8", "uint8"}, {"int32", "int32"}, {"uint32", "uint32"}, {"int64", "int64"},  {"uint64", "uint64"},
    {"f8e4m3", "fp8"},  {"f8e5m2", "fp8"},  {"fp8_e4m3", "fp8"},  {"fp8_e5m2", "fp8"}, {"char", "int8"},
};

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const std::size_t end = line.find_first_of(" \t\r");
    words.push_back(line.substr(0, end));
    line.remove_prefix(end == std::string_view::npos ? line.size() : end);
  }
}

std::string operation_in(std::string_view text, std::string_view suffix) {
  for (const Operation& operation : operations)
    if (text.find(std::string(operation.theirs) + std::string(suffix)) != std::string_view::npos)
      return std::string(operation.ours);
  return {};
}

/// busbw / algbw: nccl-tests doc/PERFORMANCE.md.
double bus_factor(std::string_view op, double ranks) {
  if (op == "all_reduce") return 2 * (ranks - 1) / ranks;
  if (op == "broadcast" || op == "reduce" || op == "send_recv") return 1;
  return (ranks - 1) / ranks;
}

/// What the lines above a table say.
struct Header {
  std::string op;
  std::string library = "NCCL";
  std::string device;
  std::set<std::string, std::less<>> hosts;
  std::int64_t ranks = 0;
  std::int64_t nodes = 0;
};

/// "nccl-library=22703" is 2.27.3; before 2.9 it was 2804 for 2.8.4.
std::string version_of(std::int64_t code) {
  return code >= 10000 ? fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100)
                       : fmt::format("{}.{}.{}", code / 1000, code / 100 % 10, code % 100);
}

class Log {
 public:
  Log(const std::string& path, const ImportOptions& options) : path_(path), options_(options) {}

  void take(std::string_view line, int number) {
    const std::vector<std::string_view> words = words_of(line);
    for (std::size_t i = 0; i + 3 < words.size(); ++i) {
      std::int64_t size = 0, count = 0;
      const auto* type = std::find_if(std::begin(types), std::end(types),
                                      [&](const Type& known) { return known.theirs == words[i + 2]; });
      if (type != std::end(types) && parse_count(words[i], size) && parse_count(words[i + 1], count)) {
        row({words.begin() + static_cast<std::ptrdiff_t>(i), words.end()}, size, *type, {path_, number, 0}, line);
        return;
      }
    }
    comment(line, words);
  }

  Imported result() && {
    if (imported_.rows.empty()) throw UserError(path_ + ": no row of an nccl-tests table (size count type ...) in it");
    return std::move(imported_);
  }

 private:
  void comment(std::string_view line, const std::vector<std::string_view>& words) {
    // A new run begins: the ranks of the last one are not its ranks.
    if (after_rows_ &&
        (line.find("nThread") != std::string_view::npos || line.find("_perf") != std::string_view::npos ||
         line.find("# nccl-tests version") != std::string_view::npos)) {
      header_ = {};
      after_rows_ = false;
    }
    if (const std::string op = operation_in(line, "_perf"); !op.empty()) header_.op = op;
    for (std::size_t i = 0; i < words.size(); ++i) {
      std::int64_t value = 0;
      if (words[i] == "version" && i > 0 && i + 1 < words.size() && (words[i - 1] == "NCCL" || words[i - 1] == "RCCL"))
        header_.library = fmt::format("{} {}", words[i - 1], words[i + 1].substr(0, words[i + 1].find('+')));
      constexpr std::string_view library = "nccl-library=";
      if (words[i].rfind(library, 0) == 0 && parse_count(words[i].substr(library.size()), value))
        header_.library = "NCCL " + version_of(value);
      if (words[i] == "Rank" && i + 1 < words.size() && parse_count(words[i + 1], value)) {
        rank_line(words, i);
        break;
      }
    }
    // "NAME: nccl-tests all_gather, H100-SXM5-80GB, 8 GPUs / 1 node(s)": a table written down by hand.
    constexpr std::string_view mark = "-tests ";
    if (const auto at = line.find(mark);
        at != std::string_view::npos && line.find(" GPUs / ") != std::string_view::npos) {
      std::string_view rest = line.substr(at + mark.size());
      header_.op = operation_in(rest.substr(0, rest.find(',')), "");
      const auto parts = words_of(rest);
      if (parts.size() >= 5) {
        header_.device = std::string(parts[1].substr(0, parts[1].find(',')));
        for (std::size_t i = 1; i < parts.size(); ++i) {
          if (parts[i] == "GPUs") parse_count(parts[i - 1], header_.ranks);
          if (parts[i].rfind("node", 0) == 0) parse_count(parts[i - 1], header_.nodes);
        }
      }
    }
  }

  /// "#  Rank  0 Group  0 Pid 42 on host-1 device  0 [0000:07:00] NVIDIA H100 80GB HBM3"
  void rank_line(const std::vector<std::string_view>& words, std::size_t at) {
    ++header_.ranks;
    for (std::size_t i = at; i + 3 < words.size(); ++i) {
      if (words[i] != "on" || words[i + 2] != "device") continue;
      header_.hosts.emplace(words[i + 1]);
      header_.nodes = static_cast<std::int64_t>(header_.hosts.size());
      std::size_t name = i + 4;
      while (name < words.size() && words[name].front() == '[') ++name;
      header_.device.clear();
      for (; name < words.size(); ++name)
        header_.device += (header_.device.empty() ? "" : " ") + std::string(words[name]);
      return;
    }
  }

  void row(std::vector<std::string_view> words, std::int64_t size, const Type& type, const Location& where,
           std::string_view line) {
    after_rows_ = true;
    words.erase(words.begin(), words.begin() + 3);
    const auto fail = [&](const std::string& problem) { throw UserError(where, problem, line); };
    if (size < 0) fail("a size cannot be negative");
    double ignored = 0;
    if (!words.empty() && !parse_number(words.front(), ignored) && words.front() != "N/A")
      words.erase(words.begin());  // redop: sum, none, ...
    // Left: [root] time algbw busbw [wrong] time algbw busbw [wrong], or the four columns of a table written by hand.
    if (words.size() == 9 || words.size() == 7) words.erase(words.begin());
    if (words.size() != 8 && words.size() != 6 && words.size() != 4)
      fail("a row of nccl-tests is: size count type [redop] [root] time algbw busbw [wrong] time algbw busbw [wrong]");
    const std::size_t half = words.size() / 2;
    const bool by_hand = words.size() == 4;
    double time = 0, algbw = 0, busbw = 0;
    if (!parse_number(words[0], time) || time <= 0) fail(fmt::format("a time in us is above zero, not '{}'", words[0]));
    if (!parse_number(words[1], algbw) || algbw < 0 || !parse_number(words[2], busbw) || busbw < 0)
      fail(fmt::format("algbw and busbw are numbers in GB/s, not '{}' and '{}'", words[1], words[2]));
    check(size, time, algbw, busbw, fail);
    add(size, type, false, time, where, fail);
    const std::string_view in_place = words[by_hand ? 3 : half];
    if (in_place == "N/A" || size == 0) return;
    if (!parse_number(in_place, time) || time <= 0) fail(fmt::format("a time in us is above zero, not '{}'", in_place));
    if (!by_hand) {
      if (!parse_number(words[half + 1], algbw) || !parse_number(words[half + 2], busbw))
        fail("algbw and busbw are numbers in GB/s");
      check(size, time, algbw, busbw, fail);
    }
    add(size, type, true, time, where, fail);
  }

  /// The columns prove themselves: algbw = size / time, and busbw its multiple by a factor that operation and ranks give.
  template <class Fail>
  void check(std::int64_t size, double time, double algbw, double busbw, const Fail& fail) {
    const double expected = static_cast<double>(size) / time * 1e-3;
    if (std::abs(expected - algbw) > 0.02 * expected + 0.02)
      fail(fmt::format("{} B in {} us are {:.2f} GB/s, and algbw says {}: are these the columns of nccl-tests?", size,
                       time, expected, algbw));
    complete(algbw, busbw, fail);
    const double factor = bus_factor(header_.op, static_cast<double>(header_.ranks));
    if (algbw >= 1 && std::abs(busbw / algbw - factor) > 0.02 * factor + 0.01 / algbw)
      fail(fmt::format("busbw / algbw is {:.3f}; {} over {} ranks has {:.3f}", busbw / algbw, header_.op, header_.ranks,
                       factor));
  }

  template <class Fail>
  void complete(double, double, const Fail& fail) {
    if (!options_.op.empty()) header_.op = operation_in(options_.op, "");
    if (header_.op.empty()) header_.op = operation_in(file_name_of(path_), "");
    if (header_.op.empty()) fail("which operation is this? Say --op all_reduce (all_gather, reduce_scatter, ...)");
    if (options_.ranks) header_.ranks = *options_.ranks;
    if (header_.ranks < 1) fail("the log does not list its ranks; say --ranks N (and --nodes N)");
    if (options_.nodes) header_.nodes = *options_.nodes;
    if (header_.nodes < 1) header_.nodes = 1;
  }

  template <class Fail>
  void add(std::int64_t size, const Type& type, bool in_place, double time, const Location& where, const Fail&) {
    Measurement measurement;
    measurement.device = header_.device.empty() ? "unknown" : header_.device;
    name_gpu(measurement, options_);
    measurement.library = header_.library;
    measurement.source = "nccl-tests, " + file_name_of(path_);
    measurement.time_us = time;
    const double algbw = static_cast<double>(size) / time * 1e-3;
    measurement.point =
        CollectivePoint{header_.op,    size,
                        header_.ranks, header_.nodes,
                        in_place,      std::string(type.ours),
                        algbw,         algbw * bus_factor(header_.op, static_cast<double>(header_.ranks))};
    imported_.rows.push_back({std::move(measurement), where.line});
  }

  const std::string& path_;
  const ImportOptions& options_;
  Header header_;
  bool after_rows_ = false;
  Imported imported_;
};

}  // namespace

Imported import_nccl_tests(const std::string& path, std::string_view text, const ImportOptions& options) {
  if (!options.op.empty() && operation_in(options.op, "").empty())
    throw UserError(unknown_name("operation", options.op, collective_ops()));
  Log log(path, options);
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    log.take(text.substr(0, end), number);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return std::move(log).result();
}

}  // namespace stepcast
