#include "simulator/report/operators.hpp"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "simulator/execution/step_work.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

// --- one operator -------------------------------------------------------------------------------------------------

/// The columns of a row that come from the work itself.
struct WorkColumns {
  const Gpu& gpu;
  OperatorTime& row;

  void operator()(const Gemm& gemm) {
    row.shape = fmt::format("m={:.0f} n={:.0f} k={:.0f}", gemm.m, gemm.n, gemm.k);
    if (gemm.batch > 1) row.shape += fmt::format(" batch={:.0f}", gemm.batch);
    row.flops = gemm.flops().si();
    row.bytes = gemm.operand_bytes() + gemm.output_bytes();
    row.peak = gpu.peak_rate(gemm.precision);
  }
  void operator()(const GroupedGemm& gemm) {
    (*this)(gemm.batched());
    row.shape = fmt::format("m={:.0f} n={:.0f} k={:.0f} experts={:.0f}", gemm.m, gemm.n, gemm.k, gemm.experts);
  }
  void operator()(const AttentionKernel& attention) {
    row.shape = fmt::format("b={:.0f} a={:.0f} s={:.0f} d={:.0f}", attention.sequences, attention.heads,
                            attention.query_length, attention.head_dim_qk);
    row.flops = attention.flops().si();
    row.bytes = attention.bytes();
    row.peak = gpu.peak_rate(attention.precision);
  }
  void operator()(const MemoryBound& memory) {
    row.shape = to_text(memory.bytes);
    row.bytes = memory.bytes;
  }
  void operator()(const Collective& collective) {
    row.shape = to_text(collective.size);
    row.bytes = collective.size;
  }
};

OperatorTime operator_time(const LocalOp& op, const SummaryInput& in) {
  const OpCost cost = in.costs.op(op);
  OperatorTime row;
  row.name = op.name;
  row.pass = name_of(op.pass);
  row.bound = name_of(cost.bound);
  row.basis = name_of(cost.evidence);
  row.each = cost.duration.seconds();
  std::visit(WorkColumns{in.job.cluster.gpu, row}, op.work);
  return row;
}

// --- a block ------------------------------------------------------------------------------------------------------

/// The operators of one block, equal ones counted together.
class BlockRows {
 public:
  BlockRows(const SummaryInput& in, std::string block, int stage) : in_(in), block_(std::move(block)), stage_(stage) {}

  void add(const OpList& ops, double count) {
    for (const LocalOp& op : ops) {
      OperatorTime row = operator_time(op, in_);
      OperatorTime& sum = rows_[{row.name, row.pass, row.shape}];
      row.count = sum.count + count;
      row.block = block_;
      row.stage = stage_;
      sum = std::move(row);
    }
  }
  void add(const LocalBlock& block, double count) {
    add(block.forward, count);
    add(block.backward, count);
  }
  void append_to(std::vector<OperatorTime>& all) {
    for (auto& [key, row] : rows_) all.push_back(std::move(row));
  }

 private:
  const SummaryInput& in_;
  std::string block_;
  int stage_;
  std::map<std::tuple<std::string, std::string, std::string>, OperatorTime> rows_;
};

/// How many layers of each kind a stage runs for one microbatch.
std::vector<int> layers_by_kind(const ShardedModel& model, int stage) {
  std::vector<int> counts(model.kinds.size(), 0);
  for (const ChunkContents& chunk : model.stages[static_cast<std::size_t>(stage)])
    for (const auto& [kind, count] : chunk.layers) counts[static_cast<std::size_t>(kind)] += count;
  return counts;
}

OpList step_operators(const SummaryInput& in, int stage) {
  const StepWork work = step_work(in.model, stage, in.job.plan, in.job.framework);
  OpList ops;
  for (const auto& [name, bytes] : {std::pair<std::string_view, Bytes>{"gradient_clear", work.clear},
                                    {"gradient_scale", work.scale},
                                    {"gradient_norm", work.norm},
                                    {"optimizer", work.update}}) {
    if (bytes > Bytes{}) ops.push_back({.name = name, .pass = Pass::step, .work = MemoryBound{bytes, 1}});
  }
  return ops;
}

}  // namespace

std::vector<OperatorTime> operator_times(const SummaryInput& in, int busiest) {
  std::vector<OperatorTime> all;
  const auto add_block = [&](const std::string& name, int stage, const LocalBlock& block, double count) {
    if (count == 0) return;
    BlockRows rows(in, name, stage);
    rows.add(block, count * static_cast<double>(in.job.plan.microbatches()) * in.model.microbatch_share);
    rows.append_to(all);
  };
  add_block("embedding", 0, in.model.embedding, 1);
  const std::vector<int> layers = layers_by_kind(in.model, busiest);
  for (std::size_t kind = 0; kind < layers.size(); ++kind)
    add_block(kind == 0 ? "layer" : fmt::format("layer {}", kind + 1), busiest, in.model.kinds[kind], layers[kind]);
  add_block("head", static_cast<int>(in.model.stages.size()) - 1, in.model.head, 1);
  BlockRows step(in, "step", busiest);
  step.add(step_operators(in, busiest), 1);
  step.append_to(all);
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.total() > b.total(); });
  return all;
}

Roofs roofs_of(const Gpu& gpu, Precision own, const std::vector<OperatorTime>& operators) {
  Roofs roofs;
  roofs.hbm = gpu.hbm_bandwidth;
  roofs.hbm_sustained = *gpu.hbm_bandwidth * *gpu.memory_bound.bandwidth_fraction;
  // Linear layers multiply in the plan's precision, attention and head in 16 bits when that is fp8.
  for (Precision precision : {own, Precision::bf16}) {
    const FlopsPerSecond peak = gpu.peak_rate(precision);
    const auto listed = [&](const Roofs::MatrixUnits& roof) { return roof.peak == peak; };
    const auto used = [&](const OperatorTime& op) { return op.peak == peak; };
    if (std::any_of(roofs.matrix.begin(), roofs.matrix.end(), listed)) continue;
    if (precision != own && std::none_of(operators.begin(), operators.end(), used)) continue;
    const GemmProfile& gemm = gpu.gemm_profile(precision);
    roofs.matrix.push_back({std::string(name_of(precision)), peak, peak * (gemm.peak_fraction * gemm.sustained)});
  }
  return roofs;
}

std::map<std::string, double> leans_on(const std::vector<OperatorTime>& operators, int stage) {
  std::map<std::string, double> shares;
  Seconds sum;
  for (const OperatorTime& op : operators) {
    if (op.stage != stage || op.bound == name_of(Bound::network)) continue;
    shares[op.basis] += op.total().si();
    sum += op.total();
  }
  if (!(sum > Seconds{})) return {};
  for (auto& [basis, share] : shares) share /= sum.si();
  return shares;
}

}  // namespace stepcast
