#include "simulator/units/money_text.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "simulator/units/calendar.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

struct Unit {
  std::string_view name;
  double size;
};

constexpr double month = year.si() / 12;

template <class Q>
constexpr std::array<Unit, 0> units_of{};
template <>
constexpr auto units_of<Seconds> = std::to_array<Unit>({{"GPU-hour", hour.si()}, {"GPU-day", day.si()}});
template <>
constexpr auto units_of<Joules> = std::to_array<Unit>({{"kWh", 3.6e6}, {"MWh", 3.6e9}});
template <>
constexpr auto units_of<ByteSeconds> =
    std::to_array<Unit>({{"TB-month", 1e12 * month}, {"GB-month", 1e9 * month}, {"PB-month", 1e15 * month}});
template <>
constexpr auto units_of<Bytes> = std::to_array<Unit>({{"GB", 1e9}, {"TB", 1e12}});

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

/// An amount, and what follows it: "/GPU-hour", or nothing.
struct AmountThenRest {
  double usd;
  std::string_view rest;
};

std::optional<AmountThenRest> split_amount(std::string_view text) {
  text = trimmed(text);
  const bool with_sign = text.starts_with('$');
  if (with_sign) text = trimmed(text.substr(1));
  double usd = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), usd);
  if (error != std::errc{} || !std::isfinite(usd)) return std::nullopt;
  std::string_view rest = trimmed(text.substr(static_cast<std::size_t>(end - text.data())));
  if (!with_sign) {
    if (!rest.starts_with("USD")) return std::nullopt;
    rest = rest.substr(3);
  }
  return AmountThenRest{usd, rest};
}

}  // namespace

std::optional<Dollars> parse_dollars(std::string_view text) {
  const auto parts = split_amount(text);
  if (!parts || !parts->rest.empty()) return std::nullopt;
  return Dollars(parts->usd);
}

template <class Q>
std::optional<Price<Q>> parse_price(std::string_view text) {
  const auto parts = split_amount(text);
  if (!parts || !parts->rest.starts_with('/')) return std::nullopt;
  for (const Unit& unit : units_of<Q>) {
    if (unit.name == parts->rest.substr(1)) return Price<Q>(Dollars(parts->usd), Q(unit.size));
  }
  return std::nullopt;
}

template <class Q>
std::string price_unit_names() {
  std::string names;
  for (const Unit& unit : units_of<Q>) names += fmt::format("{}USD/{}", names.empty() ? "" : ", ", unit.name);
  return names;
}

#define STEPCAST_INSTANTIATE(Q)                                   \
  template std::optional<Price<Q>> parse_price(std::string_view); \
  template std::string price_unit_names<Q>();
STEPCAST_INSTANTIATE(Seconds)
STEPCAST_INSTANTIATE(Joules)
STEPCAST_INSTANTIATE(ByteSeconds)
STEPCAST_INSTANTIATE(Bytes)
#undef STEPCAST_INSTANTIATE

std::string to_text(Dollars amount) {
  const double usd = amount.usd();
  const std::string sign = usd < 0 ? "-$" : "$";
  const double size = std::abs(usd);
  if (size >= 999.5e6) return sign + number_text(size / 1e9) + "B";
  if (size >= 999.5e3) return sign + number_text(size / 1e6) + "M";
  if (size >= 99.995) return sign + count_text(size);
  return fmt::format("{}{:.2f}", sign, size);
}

}  // namespace stepcast
