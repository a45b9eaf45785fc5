#include "simulator/parallelism/fp8_casts.hpp"

namespace stepcast {

Fp8Casts fp8_casts(std::string_view recipe) {
  if (recipe != "rowwise") return {};
  constexpr double along = 2 + 1, across = (2 + 2 + 1) * 2.2 / 1.4;
  return {.input = along,
          .weight = along,
          .weights_once = false,
          .gradient = along + across,
          .input_again = across,
          .weight_again = across,
          .rescaled = 2 + 2};
}

}  // namespace stepcast
