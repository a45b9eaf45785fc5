#pragma once
/// Physical quantities whose dimension is part of the type.
///
/// Four base dimensions - time, byte, flop, joule - are enough to make a unit mistake fail to compile. A quantity
/// is one double in seconds, bytes, flops and joules. GB is 10^9 and GiB is 2^30, always; a bandwidth is one
/// direction; FLOPs are dense and a fused multiply-add is two.

#include <compare>

namespace stepcast {

template <int Time, int Byte, int Flop, int Joule = 0>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(double si) : si_(si) {}

  /// The value in seconds, bytes, flops and joules (and their products). Prefer `t / 1.0_us`, which names its unit.
  constexpr double si() const { return si_; }

  constexpr auto operator<=>(const Quantity&) const = default;

  constexpr Quantity operator-() const { return Quantity(-si_); }
  constexpr Quantity& operator+=(Quantity other) { return si_ += other.si_, *this; }
  constexpr Quantity& operator-=(Quantity other) { return si_ -= other.si_, *this; }
  constexpr Quantity& operator*=(double factor) { return si_ *= factor, *this; }
  constexpr Quantity& operator/=(double divisor) { return si_ /= divisor, *this; }

  friend constexpr Quantity operator+(Quantity a, Quantity b) { return Quantity(a.si_ + b.si_); }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return Quantity(a.si_ - b.si_); }
  friend constexpr Quantity operator*(Quantity a, double factor) { return Quantity(a.si_ * factor); }
  friend constexpr Quantity operator*(double factor, Quantity a) { return Quantity(a.si_ * factor); }
  friend constexpr Quantity operator/(Quantity a, double divisor) { return Quantity(a.si_ / divisor); }

 private:
  double si_ = 0;
};

namespace detail {
template <int T, int B, int F, int J>
struct Simplified {
  using type = Quantity<T, B, F, J>;
  static constexpr type make(double si) { return type(si); }
};
template <>
struct Simplified<0, 0, 0, 0> {  // dimensions cancel: a plain number
  using type = double;
  static constexpr type make(double si) { return si; }
};
}  // namespace detail

template <int T1, int B1, int F1, int J1, int T2, int B2, int F2, int J2>
constexpr auto operator*(Quantity<T1, B1, F1, J1> a, Quantity<T2, B2, F2, J2> b) {
  return detail::Simplified<T1 + T2, B1 + B2, F1 + F2, J1 + J2>::make(a.si() * b.si());
}

template <int T1, int B1, int F1, int J1, int T2, int B2, int F2, int J2>
constexpr auto operator/(Quantity<T1, B1, F1, J1> a, Quantity<T2, B2, F2, J2> b) {
  return detail::Simplified<T1 - T2, B1 - B2, F1 - F2, J1 - J2>::make(a.si() / b.si());
}

template <int T, int B, int F, int J>
constexpr auto operator/(double a, Quantity<T, B, F, J> b) {
  return detail::Simplified<-T, -B, -F, -J>::make(a / b.si());
}

using Seconds = Quantity<1, 0, 0>;
using Bytes = Quantity<0, 1, 0>;
using Flops = Quantity<0, 0, 1>;
using Joules = Quantity<0, 0, 0, 1>;
using BytesPerSecond = Quantity<-1, 1, 0>;
using FlopsPerSecond = Quantity<-1, 0, 1>;
using Hertz = Quantity<-1, 0, 0>;
using Watts = Quantity<-1, 0, 0, 1>;

inline namespace literals {
#define STEPCAST_UNIT(suffix, type, scale)                                                             \
  constexpr type operator""_##suffix(long double v) { return type(static_cast<double>(v) * (scale)); } \
  constexpr type operator""_##suffix(unsigned long long v) { return type(static_cast<double>(v) * (scale)); }
STEPCAST_UNIT(s, Seconds, 1.0)
STEPCAST_UNIT(ms, Seconds, 1e-3)
STEPCAST_UNIT(us, Seconds, 1e-6)
STEPCAST_UNIT(ns, Seconds, 1e-9)
STEPCAST_UNIT(B, Bytes, 1.0)
STEPCAST_UNIT(KB, Bytes, 1e3)
STEPCAST_UNIT(MB, Bytes, 1e6)
STEPCAST_UNIT(GB, Bytes, 1e9)
STEPCAST_UNIT(TB, Bytes, 1e12)
STEPCAST_UNIT(KiB, Bytes, 1024.0)
STEPCAST_UNIT(MiB, Bytes, 1048576.0)
STEPCAST_UNIT(GiB, Bytes, 1073741824.0)
STEPCAST_UNIT(FLOP, Flops, 1.0)
STEPCAST_UNIT(GFLOP, Flops, 1e9)
STEPCAST_UNIT(TFLOP, Flops, 1e12)
STEPCAST_UNIT(GBps, BytesPerSecond, 1e9)
STEPCAST_UNIT(TBps, BytesPerSecond, 1e12)
STEPCAST_UNIT(Gbps, BytesPerSecond, 1e9 / 8.0)
STEPCAST_UNIT(TFLOPS, FlopsPerSecond, 1e12)
STEPCAST_UNIT(GHz, Hertz, 1e9)
STEPCAST_UNIT(MHz, Hertz, 1e6)
STEPCAST_UNIT(W, Watts, 1.0)
#undef STEPCAST_UNIT
}  // namespace literals

}  // namespace stepcast
