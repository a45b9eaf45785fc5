#include "simulator/budget/training_compute.hpp"

#include "models/families.hpp"
#include "simulator/base/error.hpp"
#include "simulator/workload/flops.hpp"

namespace stepcast {
namespace {

ModelGraph graph_of(const Architecture& model) {
  const ModelFamily* family = family_of(model);
  if (family == nullptr) throw UserError("no model family builds " + model.name);
  return family->build(model, model.vocab, model.max_positions);
}

}  // namespace

ModelSize count_parameters(const Architecture& model) {
  const ModelGraph graph = graph_of(model);
  ModelSize count{parameters(graph), active_parameters(graph), 0};
  const double head = model.tied_embeddings ? 0 : static_cast<double>(model.vocab * model.hidden);
  count.non_embedding = count.total - parameters(graph.embedding, graph.hidden) - head;
  return count;
}

Flops flops_per_token(const Architecture& model, double sequence_length, const char* convention) {
  const FlopsConvention* found = find_flops_convention(convention);
  CHECK(found != nullptr, "the convention is one of the table");
  return Flops(found->per_token(FlopsInput{.model = model,
                                           .parameters = active_parameters(graph_of(model)),
                                           .vocab = static_cast<double>(model.vocab),
                                           .sequence_length = sequence_length}));
}

}  // namespace stepcast
