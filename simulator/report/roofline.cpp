#include "simulator/report/roofline.hpp"

#include <algorithm>
#include <map>

namespace stepcast {
namespace {

constexpr ReportFormat roofline_table[] = {
    {"text", "roofline: a page for people, block by block", roofline_text},
    {"json", "roofline: the roofs and every operator, SI units", roofline_json},
    {"svg", "roofline: a log-log plot of FLOP/s over FLOP per byte", roofline_svg},
};

constexpr const char* passes_in_order[] = {"forward", "recompute", "backward_input", "backward_weight", "step"};

/// Embedding first, then layers, the head, and what is done once a step.
int place_of(const std::string& block) {
  if (block == "embedding") return 0;
  if (block == "head") return 2;
  return block == "step" ? 3 : 1;
}

std::vector<RooflinePass> by_pass(const std::vector<const OperatorTime*>& operators) {
  std::vector<RooflinePass> passes;
  for (const char* name : passes_in_order) {
    RooflinePass pass{name, {}};
    for (const OperatorTime* op : operators)
      if (op->pass == name) pass.operators.push_back(op);
    if (!pass.operators.empty()) passes.push_back(std::move(pass));
  }
  return passes;
}

}  // namespace

std::vector<RooflineBlock> roofline_blocks(const Report& report) {
  std::map<std::pair<int, std::string>, std::vector<const OperatorTime*>> blocks;
  for (const OperatorTime& op : report.operators) blocks[{place_of(op.block), op.block}].push_back(&op);
  std::vector<RooflineBlock> ordered;
  for (auto& [key, operators] : blocks) {
    std::stable_sort(operators.begin(), operators.end(), [](auto* a, auto* b) { return a->total() > b->total(); });
    ordered.push_back({key.second, operators.front()->stage, by_pass(operators)});
  }
  return ordered;
}

std::vector<std::pair<std::string, Seconds>> time_by_bound(const Report& report, int stage) {
  std::map<std::string, Seconds> sums;
  for (const OperatorTime& op : report.operators)
    if (op.stage == stage) sums[op.bound] += op.total();
  std::vector<std::pair<std::string, Seconds>> sorted(sums.begin(), sums.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

std::span<const ReportFormat> roofline_formats() { return roofline_table; }

}  // namespace stepcast
