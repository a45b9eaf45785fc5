#pragma once
/// The roofline report: every operator of the model's blocks against what the GPU could reach at most.

#include <span>
#include <string>
#include <vector>

#include "simulator/report/formats.hpp"

namespace stepcast {

/// The operators of one block and pass, largest share first.
struct RooflinePass {
  std::string pass;
  std::vector<const OperatorTime*> operators;
};

/// A block on the stage that stands for it, in the order of a step: embedding, layers, head, the work done once.
struct RooflineBlock {
  std::string name;
  int stage = 0;
  std::vector<RooflinePass> passes;
};

/// What the report's operators make; it must outlive them.
std::vector<RooflineBlock> roofline_blocks(const Report& report);

/// Time that one stage's operators wait for each bound, largest first.
std::vector<std::pair<std::string, Seconds>> time_by_bound(const Report& report, int stage);

/// A page for people.
std::string roofline_text(const Report& report, const ReportStyle& style = {});
/// The roofs, and every operator with what it does and reaches.
std::string roofline_json(const Report& report, const ReportStyle& style = {});
/// A log-log plot: FLOP/s over FLOP per byte, a disc for each operator, its area the share of the step.
std::string roofline_svg(const Report& report, const ReportStyle& style = {});

std::span<const ReportFormat> roofline_formats();

}  // namespace stepcast
