#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {

std::string_view name_of(Bound bound) {
  switch (bound) {
    case Bound::tensor_cores: return "tensor cores";
    case Bound::hbm: return "HBM";
    case Bound::launch: return "launch";
    case Bound::network: return "network";
  }
  return "";
}

std::string_view name_of(Evidence evidence) {
  switch (evidence) {
    case Evidence::measured: return "measured";
    case Evidence::interpolated: return "interpolated";
    case Evidence::fitted: return "fitted";
    case Evidence::extrapolated: return "extrapolated";
    case Evidence::estimated: return "estimated";
    case Evidence::assumed: return "assumed";
  }
  return "";
}

Evidence evidence_of(Basis basis) {
  switch (basis) {
    case Basis::datasheet:
    case Basis::measured: return Evidence::measured;
    case Basis::fitted: return Evidence::fitted;
    case Basis::estimated: return Evidence::estimated;
    case Basis::assumed: return Evidence::assumed;
  }
  return Evidence::assumed;
}

}  // namespace stepcast
