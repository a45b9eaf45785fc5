/// Tensor-parallel collectives cut into pieces that run beside the products which make or need them.
///
/// Transformer Engine's userbuffers (pytorch/module/base.py, comm_gemm_overlap): a gather before a product goes round a ring
/// by copy engine, each rank multiplying the part that it has (ring_exchange); a scatter after a product follows it in four
/// parts (pipeline), and gathers and scatters beside an unrelated product run whole (bulk), both on 16 multiprocessors that
/// the products then lack (execution/pass_ops.hpp, share_multiprocessors). PyTorch's asynchronous tensor parallelism (torch/distributed/_symmetric_memory,
/// _micro_pipeline_tp) cuts both by rank and copies over NVLink without multiprocessors.

#include "simulator/parallelism/block_builder.hpp"
#include "simulator/parallelism/methods.hpp"

namespace stepcast {

namespace {
constexpr int pipeline_splits = 4;  // Transformer Engine base.py: num_splits of the pipeline method
}  // namespace

/// Products of a gathered tensor of `bytes`: t parts, the first of which is there.
void BlockBuilder::gathered_products(OpList& ops, std::string_view name, Pass pass, double bytes,
                                     const std::vector<Gemm>& products) {
  const int parts = static_cast<int>(t_);
  const int producer = static_cast<int>(ops.size()) - 1;
  std::vector<int> arrived(1, -1);
  for (int part = 1; part < parts; ++part) {
    ops.push_back({.name = part_of_gather,
                   .pass = pass,
                   .work = Collective{CollectiveKind::send_recv, GroupKind::tensor, Bytes(bytes / parts)},
                   .lane = Lane::comm,
                   .after = part == 1 ? producer : -1});
    arrived.push_back(static_cast<int>(ops.size()) - 1);
  }
  for (int part = 0; part < parts; ++part) {
    for (std::size_t i = 0; i < products.size(); ++i) {
      Gemm product = products[i];
      product.m /= parts;
      if (i == 0 && part > 0) await(arrived[static_cast<std::size_t>(part)]);
      push(ops, {.name = name, .pass = pass, .work = product});
    }
  }
}

/// Products whose sum of `bytes` is scattered: each part's scatter beside the next part's product.
void BlockBuilder::scattered_products(OpList& ops, std::string_view name, Pass pass, double bytes,
                                      const std::vector<Gemm>& products) {
  const int parts = s_.tp_overlap == "userbuffers" ? pipeline_splits : static_cast<int>(t_);
  for (int part = 0; part < parts; ++part) {
    for (Gemm product : products) {
      product.m /= parts;
      push(ops, {.name = name, .pass = pass, .work = product});
    }
    background(ops, part_of_scatter, pass, CollectiveKind::reduce_scatter, bytes / parts);
  }
  await(static_cast<int>(ops.size()) - 1);
}

}  // namespace stepcast
