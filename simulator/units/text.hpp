#pragma once
/// Quantities as people write and read them: "450 GB/s", "4 us", "80 GiB", "3.50 ms".

#include <optional>
#include <string>
#include <string_view>

#include "simulator/units/units.hpp"

namespace stepcast {

/// Parses "<number> <unit>". Empty when the text is not a finite number followed by a unit of that dimension;
/// `unit_names<Q>()` says which are. Bits (Gb/s) and bytes (GB/s) are told apart by the case of the b.
template <class Q>
std::optional<Q> parse_quantity(std::string_view text);

/// The units that parse_quantity<Q> accepts, for error messages: "s, ms, us, ns, ...".
template <class Q>
std::string unit_names();

/// Three significant digits and the unit that suits the size: "13.6 s", "1.25 us".
std::string to_text(Seconds time);
std::string to_text(Bytes size);           ///< binary: "45.6 GiB"
std::string to_text(BytesPerSecond rate);  ///< decimal: "300 GB/s"
std::string to_text(Flops work);
std::string to_text(FlopsPerSecond rate);
std::string to_text(Watts power);
std::string to_text(Joules energy);  ///< "433 MWh"

/// A plain number to three significant digits, with thousands separated: "1,024", "0.514", "71.5".
std::string number_text(double value, int significant_digits = 3);
/// A share of one as percent with one decimal: "51.4%".
std::string percent_text(double share);
/// A whole number with thousands separated.
std::string count_text(double value);

}  // namespace stepcast
