#include "simulator/workload/model_graph.hpp"

namespace stepcast {
namespace {

struct CountParameters {
  double h;

  double operator()(const NormOp& norm) const {
    const double width = norm.width > 0 ? static_cast<double>(norm.width) : h;
    return values_per_width(norm.kind) * width;
  }
  double operator()(const LinearOp& linear) const {
    return static_cast<double>(linear.in) * static_cast<double>(linear.out) +
           (linear.bias ? static_cast<double>(linear.out) : 0);
  }
  double operator()(const AdapterOp& adapter) const {
    double sum = 0;
    for (std::int64_t out : adapter.outs) sum += static_cast<double>(adapter.rank * (adapter.in + out));
    return sum;
  }
  double operator()(const RotaryOp&) const { return 0; }
  double operator()(const ConvolutionOp& convolution) const {
    return static_cast<double>(convolution.width * (convolution.taps + 1));  // and a bias
  }
  double operator()(const StateSpaceOp& scan) const { return static_cast<double>(scan.shape.scan_values()); }
  double operator()(const CoreAttentionOp&) const { return 0; }
  double operator()(const ActivationOp&) const { return 0; }  // its bias is the preceding linear's
  double operator()(const ResidualOp&) const { return 0; }
  double operator()(const EmbeddingOp& embedding) const {
    const std::int64_t rows = (embedding.shared ? 0 : embedding.vocab) + embedding.positions;
    return static_cast<double>(rows) * h + (embedding.norm ? 2 * h : 0) + static_cast<double>(embedding.values);
  }
  double operator()(const LmHeadOp& head) const {
    return static_cast<double>(head.vocab) * ((head.tied ? 0 : h) + (head.bias ? 1 : 0));
  }
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

double trained_share(const ModelOp& op) { return op.frozen ? 0 : 1; }
double whole(const ModelOp&) { return 1; }

using Share = double (*)(const ModelOp&);

double sum_of(const Block& block, std::int64_t hidden, Share share) {
  double sum = 0;
  for (const ModelOp& op : block.ops) sum += parameters(op, hidden) * share(op);
  return sum;
}

double sum_of(const ModelGraph& model, Share share) {
  double sum = sum_of(model.embedding, model.hidden, share) + sum_of(model.head, model.hidden, share);
  for (int kind : model.layer_kinds) {
    sum += sum_of(model.kinds[static_cast<std::size_t>(kind)], model.hidden, share);
  }
  return sum;
}

}  // namespace

double parameters(const ModelOp& op, std::int64_t hidden) {
  return std::visit(CountParameters{static_cast<double>(hidden)}, op.what);
}

double parameters(const Block& block, std::int64_t hidden) { return sum_of(block, hidden, whole); }
double parameters(const ModelGraph& model) { return sum_of(model, whole); }
double trained_parameters(const ModelGraph& model) { return sum_of(model, trained_share); }
double active_parameters(const ModelGraph& model) { return sum_of(model, active_share); }

}  // namespace stepcast
