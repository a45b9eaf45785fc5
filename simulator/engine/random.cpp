#include "simulator/engine/random.hpp"

#include "simulator/engine/expected_slowest.hpp"

namespace stepcast {

double random_normal(std::uint64_t seed, std::int64_t a, std::int64_t b) {
  constexpr double two_to_53 = 9007199254740992.0;
  return normal_quantile((static_cast<double>(random_bits(seed, a, b) >> 11) + 0.5) / two_to_53);
}

}  // namespace stepcast
