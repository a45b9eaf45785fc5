#pragma once
/// Random numbers that depend on nothing but what they are for: the order of events and of threads changes none of them.

#include <cstdint>

namespace stepcast {

/// 64 random bits for a key: the finaliser of SplitMix64 (Steele, Lea, Flood 2014), once for each part.
constexpr std::uint64_t random_bits(std::uint64_t seed, std::int64_t a, std::int64_t b) {
  const auto mix = [](std::uint64_t x) {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  };
  return mix(mix(mix(seed) ^ static_cast<std::uint64_t>(a)) ^ static_cast<std::uint64_t>(b));
}

/// A standard normal value for a key; by the quantile, so that every standard library draws the same.
double random_normal(std::uint64_t seed, std::int64_t a, std::int64_t b);

}  // namespace stepcast
