#pragma once
/// How a measurement can fail.

#include <stdexcept>
#include <string>

namespace stepcast::measure {

/// This GPU, or a library here, cannot do it: the point is left out, with the reason in the summary.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// It ran, and the result differs from the reference: the time is worthless and is not recorded.
struct WrongResult : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A CUDA call failed in a way that leaves no hope for the points after it.
struct DeviceFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace stepcast::measure
