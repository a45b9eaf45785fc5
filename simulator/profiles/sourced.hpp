#pragma once
/// A number of a profile, with where it comes from.

#include <string>
#include <utility>

namespace stepcast {

enum class Basis {
  datasheet,  ///< the maker's figure
  measured,   ///< published or own measurement
  fitted,     ///< fitted to published measurements, hold-out error in the source text
  estimated,  ///< estimated jointly over many runs inside a physical range
  assumed     ///< nearest relative or engineering judgement; predictions that lean on it say so
};

/// Reads as the value itself; carries the provenance for the report.
template <class T>
struct Sourced {
  T value{};
  Basis basis = Basis::assumed;
  std::string source;

  operator const T&() const { return value; }  // NOLINT(google-explicit-constructor): it *is* the value
  const T& operator*() const { return value; }
  const T* operator->() const { return &value; }
};

}  // namespace stepcast
