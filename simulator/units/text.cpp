#include "simulator/units/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>

#include <fmt/format.h>

namespace stepcast {
namespace {

/// A unit's name and its size in seconds, bytes, flops and joules.
struct Unit {
  std::string_view name;
  double scale;
};

constexpr double kibi = 1024;

/// The units of a dimension, the customary first: what people may write.
template <class Q>
constexpr std::array<Unit, 0> units_of{};

template <>
constexpr auto units_of<Seconds> = std::to_array<Unit>({{"s", 1},
                                                        {"ms", 1e-3},
                                                        {"us", 1e-6},
                                                        {"ns", 1e-9},
                                                        {"ps", 1e-12},
                                                        {"min", 60},
                                                        {"h", 3600},
                                                        {"days", 86400},
                                                        {"day", 86400},
                                                        {"years", 365.25 * 86400},
                                                        {"year", 365.25 * 86400}});

template <>
constexpr auto units_of<Bytes> = std::to_array<Unit>({{"B", 1},
                                                      {"KB", 1e3},
                                                      {"MB", 1e6},
                                                      {"GB", 1e9},
                                                      {"TB", 1e12},
                                                      {"PB", 1e15},
                                                      {"KiB", kibi},
                                                      {"MiB", kibi* kibi},
                                                      {"GiB", kibi* kibi* kibi},
                                                      {"TiB", kibi* kibi* kibi* kibi}});

template <>
constexpr auto units_of<BytesPerSecond> = std::to_array<Unit>({{"GB/s", 1e9},
                                                               {"TB/s", 1e12},
                                                               {"MB/s", 1e6},
                                                               {"KB/s", 1e3},
                                                               {"B/s", 1},
                                                               {"GiB/s", kibi* kibi* kibi},
                                                               {"TiB/s", kibi* kibi* kibi* kibi},
                                                               {"MiB/s", kibi* kibi},
                                                               {"KiB/s", kibi},
                                                               {"Gb/s", 1e9 / 8},
                                                               {"Tb/s", 1e12 / 8},
                                                               {"Mb/s", 1e6 / 8},
                                                               {"Kb/s", 1e3 / 8},
                                                               {"b/s", 1.0 / 8}});

template <>
constexpr auto units_of<Flops> = std::to_array<Unit>({{"FLOP", 1}, {"GFLOP", 1e9}, {"TFLOP", 1e12}, {"PFLOP", 1e15}});

template <>
constexpr auto units_of<FlopsPerSecond> =
    std::to_array<Unit>({{"TFLOP/s", 1e12}, {"GFLOP/s", 1e9}, {"PFLOP/s", 1e15}, {"FLOP/s", 1}});

template <>
constexpr auto units_of<Hertz> = std::to_array<Unit>({{"Hz", 1}, {"MHz", 1e6}, {"GHz", 1e9}});

template <>
constexpr auto units_of<Watts> = std::to_array<Unit>({{"W", 1}, {"kW", 1e3}, {"MW", 1e6}});

template <>
constexpr auto units_of<Joules> =
    std::to_array<Unit>({{"J", 1}, {"kJ", 1e3}, {"kWh", 3.6e6}, {"MWh", 3.6e9}, {"GWh", 3.6e12}});

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// A number and what follows it.
struct NumberThenRest {
  double number;
  std::string_view rest;
};

std::optional<NumberThenRest> split_number(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  return NumberThenRest{number, trimmed(text.substr(static_cast<std::size_t>(end - text.data())))};
}

/// The largest unit that leaves a digit before the point, the smallest if none does. `units` run from large to small.
Unit suitable_unit(double si, std::initializer_list<Unit> units) {
  constexpr double rounds_up_to_one = 0.9995;
  const auto fits = [&](const Unit& unit) {
    return si == 0 ? unit.scale == 1 : std::abs(si) >= rounds_up_to_one * unit.scale;
  };
  const auto found = std::find_if(units.begin(), units.end(), fits);
  return found != units.end() ? *found : *(units.end() - 1);
}

std::string scaled_text(double si, std::initializer_list<Unit> units) {
  const Unit unit = suitable_unit(si, units);
  return fmt::format("{} {}", number_text(si / unit.scale), unit.name);
}

/// "-1234567.5" -> "-1,234,567.5"
std::string with_thousands(std::string digits) {
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  std::size_t point = digits.find('.');
  if (point == std::string::npos) point = digits.size();
  for (std::size_t at = point; at > first + 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

/// The power of ten of the first digit, after rounding to that many digits: 9.996 to three digits is 10.0, so 1.
int decimal_exponent(double value, int significant_digits) {
  const std::string scientific = fmt::format("{:.{}e}", value, significant_digits - 1);
  return std::stoi(scientific.substr(scientific.find('e') + 1));
}

}  // namespace

template <class Q>
std::optional<Q> parse_quantity(std::string_view text) {
  const auto parts = split_number(trimmed(text));
  if (!parts) return std::nullopt;
  for (const Unit& unit : units_of<Q>) {
    if (unit.name != parts->rest) continue;
    const double si = parts->number * unit.scale;
    if (!std::isfinite(si)) return std::nullopt;
    return Q(si);
  }
  return std::nullopt;
}

template <class Q>
std::string unit_names() {
  std::string names;
  for (const Unit& unit : units_of<Q>) {
    if (!names.empty()) names += ", ";
    names += unit.name;
  }
  return names;
}

#define STEPCAST_INSTANTIATE(Q)                                  \
  template std::optional<Q> parse_quantity<Q>(std::string_view); \
  template std::string unit_names<Q>();
STEPCAST_INSTANTIATE(Seconds)
STEPCAST_INSTANTIATE(Bytes)
STEPCAST_INSTANTIATE(Flops)
STEPCAST_INSTANTIATE(BytesPerSecond)
STEPCAST_INSTANTIATE(FlopsPerSecond)
STEPCAST_INSTANTIATE(Hertz)
STEPCAST_INSTANTIATE(Watts)
STEPCAST_INSTANTIATE(Joules)
#undef STEPCAST_INSTANTIATE

std::string to_text(Seconds time) {
  constexpr double readable_as_seconds = 3600;  // step times are compared in seconds, however long
  if (std::abs(time.si()) >= readable_as_seconds) return scaled_text(time.si(), {{"h", 3600}});
  return scaled_text(time.si(), {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}, {"ps", 1e-12}});
}

std::string to_text(Bytes size) {
  return scaled_text(
      size.si(),
      {{"TiB", kibi * kibi * kibi * kibi}, {"GiB", kibi * kibi * kibi}, {"MiB", kibi * kibi}, {"KiB", kibi}, {"B", 1}});
}

std::string to_text(BytesPerSecond rate) {
  return scaled_text(rate.si(), {{"TB/s", 1e12}, {"GB/s", 1e9}, {"MB/s", 1e6}, {"KB/s", 1e3}, {"B/s", 1}});
}

std::string to_text(Flops work) {
  constexpr double beyond_prefixes = 1e18;  // a whole training run: written 3.80e+25, as the field does
  if (std::abs(work.si()) >= beyond_prefixes) return fmt::format("{:.2e} FLOP", work.si());
  return scaled_text(work.si(), {{"PFLOP", 1e15}, {"TFLOP", 1e12}, {"GFLOP", 1e9}, {"FLOP", 1}});
}

std::string to_text(FlopsPerSecond rate) {
  return scaled_text(rate.si(), {{"PFLOP/s", 1e15}, {"TFLOP/s", 1e12}, {"GFLOP/s", 1e9}, {"FLOP/s", 1}});
}

std::string to_text(Watts power) { return scaled_text(power.si(), {{"MW", 1e6}, {"kW", 1e3}, {"W", 1}}); }

std::string to_text(Joules energy) {
  constexpr double watt_hour = 3600;
  return scaled_text(
      energy.si(),
      {{"GWh", 1e9 * watt_hour}, {"MWh", 1e6 * watt_hour}, {"kWh", 1e3 * watt_hour}, {"kJ", 1e3}, {"J", 1}});
}

std::string number_text(double value, int significant_digits) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  if (value == 0) return "0";
  const int exponent = decimal_exponent(value, significant_digits);
  if (exponent < -4) return fmt::format("{:.{}e}", value, significant_digits - 1);
  const int decimals = std::max(0, significant_digits - 1 - exponent);
  return with_thousands(fmt::format("{:.{}f}", value, decimals));
}

std::string percent_text(double share) {
  const double tenths = std::round(1000 * share) + 0.0;  // + 0.0: no negative zero
  return fmt::format("{:.1f}%", tenths / 10);
}

std::string count_text(double value) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  return with_thousands(fmt::format("{:.0f}", std::round(value) + 0.0));
}

}  // namespace stepcast
