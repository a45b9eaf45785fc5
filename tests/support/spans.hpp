#pragma once
/// What a rank launched in a step, by name: how often, and for how long in all.

#include <map>
#include <string>

#include "simulator/predict.hpp"

namespace stepcast::fixtures {

struct Launched {
  int count = 0;
  double seconds = 0;
};

/// Of the first rank of the first stage, kernel by kernel.
inline std::map<std::string, Launched> launched(const Job& job) {
  ExecutionOptions options;
  options.granularity = Granularity::kernel;
  options.jitter = false;
  options.record_spans = true;
  Timeline timeline;
  predict(job, options, &timeline);
  std::map<std::string, Launched> sums;
  for (const Span& span : timeline.spans) {
    if (span.rank != 0) continue;
    Launched& sum = sums[timeline.labels[static_cast<std::size_t>(span.label)]];
    ++sum.count;
    sum.seconds += (span.end - span.start).seconds().si();
  }
  return sums;
}

}  // namespace stepcast::fixtures
