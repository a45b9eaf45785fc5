#pragma once
/// How far a prediction may be off, learned from how far it was off on published runs.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "simulator/report/report.hpp"
#include "simulator/report/traits.hpp"

namespace stepcast {

/// One published run as it was predicted.
struct RunResidual {
  std::string source;  ///< of the measurement: runs of one source share its quirks
  RunTraits traits;
  double log_ratio = 0;  ///< ln(published / predicted)
  double published_s = 0;
};

/// A 90% interval of published / predicted.
struct LearnedInterval {
  double low = 1, high = 1;
  int runs = 0;        ///< that it was learned from
  int sources = 0;     ///< of them
  std::string alike;   ///< what these runs have in common with the predicted one: "torchtitan on hopper GPUs"
  std::string beyond;  ///< what no run among them has, for which it was widened; empty: nothing
};

/// Intervals by cross-validation over sources.
///
/// The runs that are most like the predicted one, in framework, GPU and size, are taken: the narrowest circle that
/// holds three sources and twenty runs. A source counts with the square root of its runs. The interval reaches from the
/// 5th to the 95th percentile of their ratios, and is then stretched from the median by one factor for all: the one
/// with which, each source left out in turn, nine of ten of all runs fall inside the interval learned from the others.
/// So it holds for a source never seen (Barber et al., "Predictive inference with the jackknife+", 2021, is the idea
/// for single points; here whole sources are left out, since rows of one table share their quirks).
class LearnedErrors {
 public:
  LearnedErrors() = default;
  explicit LearnedErrors(std::vector<RunResidual> residuals);

  /// @param without  a source to leave out: the one that the run itself is from; empty: none
  /// @returns nothing when there are too few runs to learn from
  std::optional<LearnedInterval> interval(const RunTraits& traits, const std::string& without = "") const;

  bool has_source(const std::string& name) const;
  /// The source of a run that was published with this step time on as many of these GPUs: the same run under another
  /// name. Empty: there is none.
  std::string source_of_run(const RunTraits& traits, double published_s) const;

  double stretch() const { return stretch_; }

 private:
  struct Quantiles {
    double low = 0, middle = 0, high = 0;
    int runs = 0, sources = 0;
    std::size_t circle = 0;
    std::int64_t largest = 0;  ///< cluster among the runs

    double stretch_to(double log_ratio) const;
  };
  std::optional<Quantiles> quantiles(const RunTraits& traits, const std::string& without, std::size_t from) const;

  /// What the run has that none of those that its quantiles are from has; empty: nothing.
  std::string beyond(const RunTraits& traits, const std::string& without, const Quantiles& from) const;

  std::vector<RunResidual> residuals_;
  std::vector<std::string> sources_;    ///< each once
  std::vector<std::size_t> source_at_;  ///< of each residual, its place there
  double stretch_ = 1;
};

/// Gives a report with a step time its interval, and says what it was learned from.
void add_interval(const LearnedErrors& learned, const RunTraits& traits, const std::string& without, Report& report);

/// Reads the table that `stepcast validate --format csv` writes; rows without a comparison are passed over.
/// @throws UserError with file and line for what is no such table
std::vector<RunResidual> read_residuals(const std::string& path);

}  // namespace stepcast
