#pragma once
/// Amounts of money and prices: what one pays, and for how much of what.

#include <compare>

#include "simulator/units/units.hpp"

namespace stepcast {

/// United States dollars, as the published prices of computing are.
class Dollars {
 public:
  constexpr Dollars() = default;
  constexpr explicit Dollars(double usd) : usd_(usd) {}

  constexpr double usd() const { return usd_; }

  constexpr auto operator<=>(const Dollars&) const = default;

  constexpr Dollars& operator+=(Dollars other) { return usd_ += other.usd_, *this; }
  friend constexpr Dollars operator+(Dollars a, Dollars b) { return Dollars(a.usd_ + b.usd_); }
  friend constexpr Dollars operator-(Dollars a, Dollars b) { return Dollars(a.usd_ - b.usd_); }
  friend constexpr Dollars operator*(Dollars a, double factor) { return Dollars(a.usd_ * factor); }
  friend constexpr Dollars operator*(double factor, Dollars a) { return Dollars(a.usd_ * factor); }
  friend constexpr Dollars operator/(Dollars a, double divisor) { return Dollars(a.usd_ / divisor); }
  friend constexpr double operator/(Dollars a, Dollars b) { return a.usd_ / b.usd_; }

 private:
  double usd_ = 0;
};

/// Dollars for so much of a quantity: `Price(2.0_usd, 3600.0_s)` is $2 an hour. Times a quantity, it is an amount.
template <class Q>
class Price {
 public:
  constexpr Price() = default;
  constexpr Price(Dollars amount, Q for_so_much) : usd_per_si_(amount.usd() / for_so_much.si()) {}

  /// What so much of it costs: `price.of(3600.0_s).usd()` is dollars an hour.
  constexpr Dollars of(Q quantity) const { return Dollars(usd_per_si_ * quantity.si()); }

  constexpr auto operator<=>(const Price&) const = default;

  friend constexpr Dollars operator*(Price price, Q quantity) { return price.of(quantity); }
  friend constexpr Dollars operator*(Q quantity, Price price) { return price.of(quantity); }
  friend constexpr Price operator*(Price price, double factor) {
    price.usd_per_si_ *= factor;
    return price;
  }
  friend constexpr Price operator*(double factor, Price price) { return price * factor; }

 private:
  double usd_per_si_ = 0;
};

using ByteSeconds = Quantity<1, 1, 0>;

using TimePrice = Price<Seconds>;         ///< of a GPU's time
using EnergyPrice = Price<Joules>;        ///< of electricity
using StoragePrice = Price<ByteSeconds>;  ///< of keeping data
using TransferPrice = Price<Bytes>;       ///< of data that leaves

inline namespace literals {
constexpr Dollars operator""_usd(long double v) { return Dollars(static_cast<double>(v)); }
constexpr Dollars operator""_usd(unsigned long long v) { return Dollars(static_cast<double>(v)); }
}  // namespace literals

}  // namespace stepcast
