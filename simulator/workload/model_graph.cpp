#include "simulator/workload/model_graph.hpp"

namespace stepcast {
namespace {

struct CountParameters {
  double h;

  double operator()(const NormOp& norm) const {
    const double width = norm.width > 0 ? static_cast<double>(norm.width) : h;
    return norm.kind == NormKind::layernorm ? 2 * width : width;
  }
  double operator()(const LinearOp& linear) const {
    return static_cast<double>(linear.in) * static_cast<double>(linear.out) +
           (linear.bias ? static_cast<double>(linear.out) : 0);
  }
  double operator()(const RotaryOp&) const { return 0; }
  double operator()(const CoreAttentionOp&) const { return 0; }
  double operator()(const ActivationOp&) const { return 0; }  // its bias is the preceding linear's
  double operator()(const ResidualOp&) const { return 0; }
  double operator()(const EmbeddingOp& embedding) const {
    return static_cast<double>(embedding.vocab + embedding.positions) * h + (embedding.norm ? 2 * h : 0);
  }
  double operator()(const LmHeadOp& head) const { return head.tied ? 0 : static_cast<double>(head.vocab) * h; }
  double operator()(const CrossEntropyOp&) const { return 0; }
  double operator()(const RouterOp& router) const {
    return static_cast<double>(router.routing.experts) * (h + (router.bias ? 1 : 0));
  }
  double operator()(const DispatchOp&) const { return 0; }
  double operator()(const ExpertLinearOp& linear) const {
    const double out = static_cast<double>(linear.out);
    return static_cast<double>(linear.routing.experts) * out * (static_cast<double>(linear.in) + (linear.bias ? 1 : 0));
  }
  double operator()(const CombineOp&) const { return 0; }
};

/// Share of an operator's parameters that one token passes.
double active_share(const ModelOp& op) {
  const auto* linear = std::get_if<ExpertLinearOp>(&op.what);
  if (linear == nullptr) return 1;
  return static_cast<double>(linear->routing.top_k) / static_cast<double>(linear->routing.experts);
}

double active_parameters(const Block& block, std::int64_t hidden) {
  double sum = 0;
  for (const ModelOp& op : block.ops) sum += parameters(op, hidden) * active_share(op);
  return sum;
}

}  // namespace

double parameters(const ModelOp& op, std::int64_t hidden) {
  return std::visit(CountParameters{static_cast<double>(hidden)}, op.what);
}

double parameters(const Block& block, std::int64_t hidden) {
  double sum = 0;
  for (const ModelOp& op : block.ops) sum += parameters(op, hidden);
  return sum;
}

double parameters(const ModelGraph& model) {
  double sum = parameters(model.embedding, model.hidden) + parameters(model.head, model.hidden);
  for (int kind : model.layer_kinds) sum += parameters(model.kinds[static_cast<std::size_t>(kind)], model.hidden);
  return sum;
}

double active_parameters(const ModelGraph& model) {
  double sum = active_parameters(model.embedding, model.hidden) + active_parameters(model.head, model.hidden);
  for (int kind : model.layer_kinds) {
    sum += active_parameters(model.kinds[static_cast<std::size_t>(kind)], model.hidden);
  }
  return sum;
}

}  // namespace stepcast
