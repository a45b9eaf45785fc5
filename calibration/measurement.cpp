#include "calibration/measurement.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <set>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "simulator/base/files.hpp"

namespace stepcast {
namespace {

using Json = nlohmann::ordered_json;
using Choices = std::vector<std::string>;

constexpr int schema = 1;
constexpr std::size_t largest_file = std::size_t{1} << 30;

const Choices layouts{"tn", "nn", "nt"};
const Choices precisions{"bf16", "fp16", "tf32", "fp32", "fp8"};
const Choices element_types{"bf16",  "fp16",  "fp32",   "fp8",   "fp64",  "int8",
                            "uint8", "int32", "uint32", "int64", "uint64"};
const Choices launch_modes{"stream", "graph"};
const Choices launch_quantities{"call", "empty", "gap"};
const Choices copy_sources{"host", "device"};
const Choices copy_targets{"host", "device", "peer"};
const Choices loads{"gemm", "memory", "mixed"};
const Choices data_kinds{"normal", "zeros"};

Choices overlapping_kinds() {
  Choices all{"copy", "read", "write"};
  all.insert(all.end(), collective_ops().begin(), collective_ops().end());
  return all;
}

// --- the fields of each kind, named once ---------------------------------------------------------------------------
// A visitor has: choice(name, text, allowed), text(name, text), count(name, integer, at least), flag(name, bool),
// optional_count, optional_flag, and result(name, double) for what is measured, which is no part of the key.

template <class Visitor>
void visit_fields(GemmPoint& p, Visitor& v) {
  v.count("m", p.m, 1);
  v.count("n", p.n, 1);
  v.count("k", p.k, 1);
  v.count("batch", p.batch, 1);
  v.choice("layout", p.layout, layouts);
  v.choice("precision", p.precision, precisions);
  v.flag("accumulate_fp32", p.accumulate_fp32);
}

template <class Visitor>
void visit_fields(AttentionPoint& p, Visitor& v) {
  v.count("batch", p.batch, 1);
  v.count("heads", p.heads, 1);
  v.count("kv_heads", p.kv_heads, 1);
  v.count("query_length", p.query_length, 1);
  v.count("key_length", p.key_length, 1);
  v.count("head_dim", p.head_dim, 1);
  v.flag("causal", p.causal);
  v.flag("backward", p.backward);
  v.choice("precision", p.precision, precisions);
  v.text("kernel", p.kernel);
}

template <class Visitor>
void visit_fields(MemoryPoint& p, Visitor& v) {
  v.choice("op", p.op, memory_ops());
  v.count("bytes", p.bytes, 1);
  v.optional_count("width", p.width, 1);
  v.optional_flag("warm", p.warm);
}

template <class Visitor>
void visit_fields(LaunchPoint& p, Visitor& v) {
  v.choice("mode", p.mode, launch_modes);
  v.choice("quantity", p.quantity, launch_quantities);
}

template <class Visitor>
void visit_fields(CopyPoint& p, Visitor& v) {
  v.choice("from", p.from, copy_sources);
  v.choice("to", p.to, copy_targets);
  v.count("bytes", p.bytes, 1);
}

template <class Visitor>
void visit_fields(CollectivePoint& p, Visitor& v) {
  v.choice("op", p.op, collective_ops());
  v.count("bytes", p.bytes, 0);
  v.count("ranks", p.ranks, 1);
  v.count("nodes", p.nodes, 1);
  v.flag("in_place", p.in_place);
  v.choice("precision", p.precision, element_types);
  v.result("algbw", p.algbw);
  v.result("busbw", p.busbw);
}

template <class Visitor>
void visit_fields(OverlapPoint& p, Visitor& v) {
  v.count("m", p.m, 1);
  v.count("n", p.n, 1);
  v.count("k", p.k, 1);
  v.choice("precision", p.precision, precisions);
  v.choice("other", p.other, overlapping_kinds());
  v.count("other_bytes", p.other_bytes, 1);
  v.count("other_sms", p.other_sms, 0);
  v.count("ranks", p.ranks, 1);
  v.result("alone_us", p.alone_us);
  v.result("other_alone_us", p.other_alone_us);
  v.result("other_us", p.other_us);
}

template <class Visitor>
void visit_fields(ClockPoint& p, Visitor& v) {
  v.choice("load", p.load, loads);
  v.choice("data", p.data, data_kinds);
  v.choice("precision", p.precision, precisions);
  v.count("seconds", p.seconds, 1);
  v.result("tflops", p.tflops);
  v.result("gbps", p.gbps);
}

/// All but what the point holds; `v` as above, and optional_text, optional_number, optional_flag.
template <class Visitor>
void visit_header(Measurement& m, Visitor& v) {
  v.optional_text("gpu", m.gpu);
  v.text("device", m.device);
  v.optional_count("sms", m.sms, 1);
  v.optional_text("driver", m.driver);
  v.optional_text("cuda", m.cuda);
  v.text("library", m.library);
  v.optional_text("date", m.date);
  v.optional_text("source", m.source);
  v.optional_count("repeats", m.repeats, 1);
  v.result("time_us", m.time_us);
  v.optional_number("time_us_min", m.time_us_min);
  v.optional_number("time_us_p90", m.time_us_p90);
  v.optional_number("sm_clock_mhz", m.sm_clock_mhz);
  v.optional_number("power_w", m.power_w);
  v.optional_number("temperature_c", m.temperature_c);
  v.optional_flag("verified", m.verified);
}

// --- writing ----------------------------------------------------------------------------------------------------

struct Writer {
  Json& object;

  void choice(const char* name, const std::string& value, const Choices& allowed) {
    CHECK(std::find(allowed.begin(), allowed.end(), value) != allowed.end(), "a measurement holds names of the format");
    object[name] = value;
  }
  void text(const char* name, const std::string& value) { object[name] = value; }
  void count(const char* name, std::int64_t value, std::int64_t) { object[name] = value; }
  void flag(const char* name, bool value) { object[name] = value; }
  void result(const char* name, double value) {
    CHECK(std::isfinite(value) && value >= 0, "a measured number is finite and not negative");
    object[name] = value;
  }
  void optional_text(const char* name, const std::string& value) {
    if (!value.empty()) object[name] = value;
  }
  void optional_count(const char* name, const std::optional<std::int64_t>& value, std::int64_t) {
    if (value) object[name] = *value;
  }
  void optional_number(const char* name, const std::optional<double>& value) {
    if (value) result(name, *value);
  }
  void optional_flag(const char* name, const std::optional<bool>& value) {
    if (value) object[name] = *value;
  }
};

/// Only what identifies a point.
struct KeyWriter {
  std::string& key;

  void add(const char* name, const std::string& value) { key += std::string(" ") + name + "=" + value; }
  void choice(const char* name, const std::string& value, const Choices&) { add(name, value); }
  void text(const char* name, const std::string& value) { add(name, value); }
  void count(const char* name, std::int64_t value, std::int64_t) { add(name, std::to_string(value)); }
  void flag(const char* name, bool value) { add(name, value ? "1" : "0"); }
  void result(const char*, double) {}
  void optional_count(const char* name, const std::optional<std::int64_t>& value, std::int64_t) {
    if (value) add(name, std::to_string(*value));
  }
  void optional_flag(const char* name, const std::optional<bool>& value) {
    if (value) flag(name, *value);
  }
};

// --- reading ----------------------------------------------------------------------------------------------------

/// Takes fields out of the object; what is left over at the end is unknown.
class Reader {
 public:
  Reader(Json object, Location where, std::string_view line)
      : object_(std::move(object)), where_(std::move(where)), line_(line) {}

  [[noreturn]] void fail(const std::string& problem) const { throw UserError(where_, problem, line_); }

  void choice(const char* name, std::string& value, const Choices& allowed) {
    text(name, value);
    if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
      fail(unknown_name(std::string("'") + name + "'", value, allowed));
  }
  void text(const char* name, std::string& value) { value = text_of(name, take(name)); }
  void count(const char* name, std::int64_t& value, std::int64_t at_least) {
    value = count_of(name, take(name), at_least);
  }
  void flag(const char* name, bool& value) { value = flag_of(name, take(name)); }
  void result(const char* name, double& value) { value = number_of(name, take(name)); }

  void optional_text(const char* name, std::string& value) {
    if (const Json field = take_if_there(name); !field.is_null()) value = text_of(name, field);
  }
  void optional_count(const char* name, std::optional<std::int64_t>& value, std::int64_t at_least) {
    if (const Json field = take_if_there(name); !field.is_null()) value = count_of(name, field, at_least);
  }
  void optional_number(const char* name, std::optional<double>& value) {
    if (const Json field = take_if_there(name); !field.is_null()) value = number_of(name, field);
  }
  void optional_flag(const char* name, std::optional<bool>& value) {
    if (const Json field = take_if_there(name); !field.is_null()) value = flag_of(name, field);
  }

  /// @throws UserError when a field has not been asked for
  void finish() const {
    if (object_.empty()) return;
    const std::string& stray = object_.begin().key();
    fail(unknown_name("key", stray, asked_));
  }

 private:
  Json take_if_there(const char* name) {
    asked_.emplace_back(name);
    const auto found = object_.find(name);
    if (found == object_.end()) return nullptr;
    Json field = *found;
    object_.erase(name);
    return field;
  }
  Json take(const char* name) {
    if (!object_.contains(name)) fail(std::string("'") + name + "' is missing");
    return take_if_there(name);
  }

  std::string text_of(const char* name, const Json& field) const {
    if (!field.is_string() || field.get_ref<const std::string&>().empty())
      fail(std::string("'") + name + "' is a text, not " + field.dump());
    return field.get<std::string>();
  }
  std::int64_t count_of(const char* name, const Json& field, std::int64_t at_least) const {
    const bool fits = field.is_number_unsigned() ? field.get<std::uint64_t>() <= INT64_MAX : field.is_number_integer();
    if (!fits || field.get<std::int64_t>() < at_least)
      fail(std::string("'") + name + "' is a whole number of at least " + std::to_string(at_least) + ", not " +
           field.dump());
    return field.get<std::int64_t>();
  }
  double number_of(const char* name, const Json& field) const {
    if (!field.is_number()) fail(std::string("'") + name + "' is a number, not " + field.dump());
    const double value = field.get<double>();
    if (!std::isfinite(value) || value < 0) fail(std::string("'") + name + "' cannot be " + field.dump());
    return value;
  }
  bool flag_of(const char* name, const Json& field) const {
    if (!field.is_boolean()) fail(std::string("'") + name + "' is true or false, not " + field.dump());
    return field.get<bool>();
  }

  Json object_;
  Location where_;
  std::string_view line_;
  Choices asked_;
};

/// Of a parse error's message "[json.exception.parse_error.101] parse error at line 1, column 7: ...", the end.
std::string plain(const std::string& message) {
  const std::size_t at = message.find(": ");
  return at == std::string::npos ? message : message.substr(at + 2);
}

Json parse_object(std::string_view line, const Location& where) {
  std::set<std::string> keys;
  const auto no_repeated_key = [&](int depth, nlohmann::detail::parse_event_t event, const Json& parsed) {
    if (event == nlohmann::detail::parse_event_t::key && depth == 1 && !keys.insert(parsed.get<std::string>()).second)
      throw UserError(where, "'" + parsed.get<std::string>() + "' is given twice", line);
    return true;
  };
  try {
    Json object = Json::parse(line, no_repeated_key);
    if (!object.is_object()) throw UserError(where, "a measurement is a JSON object in braces", line);
    return object;
  } catch (const Json::parse_error& error) {
    Location place = where;
    place.column = static_cast<int>(std::min(error.byte, line.size() + 1));
    throw UserError(place, "not valid JSON: " + plain(error.what()), line);
  } catch (const Json::exception& error) {
    throw UserError(where, "not valid JSON: " + plain(error.what()), line);
  }
}

bool is_utc_date(const std::string& text) {
  constexpr std::string_view form = "0000-00-00T00:00:00Z";
  return text.size() == form.size() && std::equal(text.begin(), text.end(), form.begin(), [](char c, char f) {
           return f == '0' ? c >= '0' && c <= '9' : c == f;
         });
}

void check_times(const Measurement& m, const Reader& reader) {
  if (m.time_us <= 0) reader.fail("'time_us' cannot be 0");
  if (m.time_us_min && *m.time_us_min > m.time_us) reader.fail("'time_us_min' is above the median, 'time_us'");
  if (m.time_us_p90 && *m.time_us_p90 < m.time_us) reader.fail("'time_us_p90' is below the median, 'time_us'");
  if (!m.date.empty() && !is_utc_date(m.date)) reader.fail("'date' is written like 2026-11-22T09:30:00Z");
}

template <std::size_t I = 0>
MeasuredPoint empty_point(std::size_t index) {
  if constexpr (I + 1 < std::variant_size_v<MeasuredPoint>)
    if (index != I) return empty_point<I + 1>(index);
  return MeasuredPoint(std::in_place_index<I>);
}

struct NumberedLine {
  int number;
  std::string_view text;
  bool ended;  ///< by a newline
};

std::vector<NumberedLine> lines_of(std::string_view text) {
  std::vector<NumberedLine> lines;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    lines.push_back({number, line, end != std::string_view::npos});
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t") == std::string_view::npos; }

/// Remembers the key of a line. @throws UserError when an earlier line has it
void remember(std::map<std::string, int>& lines, const Measurement& measurement, const Location& where,
              std::string_view line) {
  const auto [earlier, is_new] = lines.emplace(key_of(measurement), where.line);
  if (!is_new)
    throw UserError(where, "measured before, in line " + std::to_string(earlier->second) + ": " + earlier->first, line);
}

/// Whether a line without a newline is one of ours that was cut off while it was written: never a user's own text.
bool is_cut_off(std::string_view line) {
  constexpr std::string_view beginning = "{\"schema\":";
  const std::size_t compared = std::min(line.size(), beginning.size());
  return line.substr(0, compared) == beginning.substr(0, compared) && !Json::accept(line);
}

std::string system_error() { return std::strerror(errno); }

}  // namespace

const std::vector<std::string>& measurement_kinds() {
  static const Choices kinds{"gemm", "attention", "memory", "launch", "copy", "collective", "overlap", "clock"};
  static_assert(std::variant_size_v<MeasuredPoint> == 8, "one name for each alternative, in its order");
  return kinds;
}

const std::vector<std::string>& memory_ops() {
  static const Choices ops{"copy",
                           "read",
                           "write",
                           "layernorm",
                           "layernorm_backward",
                           "rmsnorm",
                           "rmsnorm_backward",
                           "gelu",
                           "swiglu",
                           "residual_add",
                           "softmax",
                           "rope",
                           "adam",
                           "cross_entropy"};
  return ops;
}

const std::vector<std::string>& collective_ops() {
  static const Choices ops{"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv",
                           "broadcast",  "reduce",     "gather",         "scatter",    "hypercube"};
  return ops;
}

std::string preset_of_device(std::string_view device) {
  struct Row {
    std::vector<std::string_view> parts;  ///< all of them occur in the name
    std::string_view preset;
  };
  // The first that fits: the more particular ones stand first.
  static const std::vector<Row> rows{{{"A100", "PCIe", "80GB"}, "a100-80gb-pcie"},
                                     {{"A100", "40GB"}, "a100-40gb-sxm"},
                                     {{"A100", "80GB"}, "a100-80gb-sxm"},
                                     {{"H100 PCIe"}, "h100-80gb-pcie"},
                                     {{"H100", "80GB HBM3"}, "h100-80gb-sxm"},
                                     {{"H800"}, "h800-80gb-sxm"},
                                     {{"H200", "NVL"}, ""},
                                     {{"GH200"}, ""},
                                     {{"H200"}, "h200-141gb-sxm"},
                                     {{"GB200"}, "gb200-186gb"},
                                     {{"GB300"}, "gb300"},
                                     {{"B200"}, "b200-180gb-sxm"},
                                     {{"V100", "SXM", "32GB"}, "v100-32gb-sxm"},
                                     {{"V100", "SXM", "16GB"}, "v100-16gb-sxm"},
                                     {{"RTX 4090 D"}, ""},
                                     {{"RTX 4090"}, "rtx4090-24gb"},
                                     {{"RTX PRO 6000"}, "rtxpro6000-96gb"},
                                     {{"MI300X"}, "mi300x-192gb"}};
  for (const Row& row : rows) {
    const bool fits = std::all_of(row.parts.begin(), row.parts.end(),
                                  [&](std::string_view part) { return device.find(part) != std::string_view::npos; });
    if (fits) return std::string(row.preset);
  }
  return {};
}

std::string_view kind_of(const MeasuredPoint& point) { return measurement_kinds()[point.index()]; }

std::string key_of(const Measurement& measurement) {
  std::string key =
      std::string(kind_of(measurement.point)) + " on " + measurement.device + " by " + measurement.library + ":";
  KeyWriter writer{key};
  MeasuredPoint point = measurement.point;
  std::visit([&](auto& alternative) { visit_fields(alternative, writer); }, point);
  return key;
}

std::string to_line(const Measurement& measurement) {
  Json object = {{"schema", schema}, {"kind", kind_of(measurement.point)}};
  Writer writer{object};
  Measurement copy = measurement;
  visit_header(copy, writer);
  std::visit([&](auto& alternative) { visit_fields(alternative, writer); }, copy.point);
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Measurement parse_line(std::string_view line, const Location& where) {
  Reader reader(parse_object(line, where), where, line);
  std::int64_t version = 0;
  reader.count("schema", version, 0);
  if (version != schema)
    reader.fail("schema " + std::to_string(version) + " is not known; this version reads schema " +
                std::to_string(schema));
  std::string kind;
  reader.choice("kind", kind, measurement_kinds());

  Measurement measurement;
  visit_header(measurement, reader);
  const auto& kinds = measurement_kinds();
  measurement.point =
      empty_point(static_cast<std::size_t>(std::find(kinds.begin(), kinds.end(), kind) - kinds.begin()));
  std::visit([&](auto& alternative) { visit_fields(alternative, reader); }, measurement.point);
  reader.finish();
  check_times(measurement, reader);
  return measurement;
}

std::vector<Measurement> read_measurements(const std::string& path) {
  const std::string text = read_file(path, largest_file);
  std::vector<Measurement> measurements;
  std::map<std::string, int> seen;
  for (const NumberedLine& line : lines_of(text)) {
    if (is_blank(line.text)) continue;
    const Location where{path, line.number, 0};
    measurements.push_back(parse_line(line.text, where));
    remember(seen, measurements.back(), where, line.text);
  }
  return measurements;
}

MeasurementLog::MeasurementLog(std::string path) : path_(std::move(path)) {
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw UserError(path_ + ": cannot write: " + system_error());
  try {
    const std::string text = read_file(path_, largest_file);
    for (const NumberedLine& line : lines_of(text)) {
      if (!line.ended && is_cut_off(line.text)) {
        if (ftruncate(descriptor_, line.text.data() - text.data()) != 0)
          throw UserError(path_ + ": cannot drop its last line, which was cut off: " + system_error());
        break;
      }
      if (!line.ended) write_all("\n");
      last_line_ = line.number;
      if (is_blank(line.text)) continue;
      const Location where{path_, line.number, 0};
      remember(lines_, parse_line(line.text, where), where, line.text);
    }
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

MeasurementLog::~MeasurementLog() { close(descriptor_); }

void MeasurementLog::append(const Measurement& measurement) {
  const std::string line = to_line(measurement) + "\n";
  const Location where{path_, ++last_line_, 0};
  remember(lines_, measurement, where, {});
  write_all(line);
}

void MeasurementLog::write_all(std::string_view text) {
  for (std::size_t written = 0; written < text.size();) {
    const ssize_t n = write(descriptor_, text.data() + written, text.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw UserError(path_ + ": cannot write: " + system_error());
    written += static_cast<std::size_t>(n);
  }
}

}  // namespace stepcast
