#pragma once
/// Amounts and prices as people write and read them: "2 USD/GPU-hour", "$2/GPU-hour", "$5.58M".

#include <optional>
#include <string>
#include <string_view>

#include "simulator/units/money.hpp"

namespace stepcast {

/// "30000 USD" or "$30000". Empty when the text is nothing such.
std::optional<Dollars> parse_dollars(std::string_view text);

/// "<number> USD/<unit>" or "$<number>/<unit>"; `price_unit_names<Q>()` says which. A month is a twelfth of a year.
template <class Q>
std::optional<Price<Q>> parse_price(std::string_view text);

/// "USD/GPU-hour, USD/GPU-day".
template <class Q>
std::string price_unit_names();

std::string to_text(Dollars amount);  ///< "$5.58M", "$61,700", "$2.00"

}  // namespace stepcast
