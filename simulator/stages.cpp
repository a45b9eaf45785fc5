#include "simulator/stages.hpp"

#include "models/families.hpp"
#include "simulator/collectives/collective_time.hpp"
#include "simulator/execution/pass_ops.hpp"
#include "simulator/execution/pass_times.hpp"
#include "simulator/resolve.hpp"

namespace stepcast {

ModelGraph model_graph_of(const Job& job) {
  const std::int64_t positions = job.model.max_positions > 0 ? job.model.max_positions : job.plan.sequence_length;
  return fine_tuned(family_of(job.model)->build(job.model, padded_vocab(job), positions), job.plan);
}

void share_with_userbuffers(ShardedModel& model, const Sharding& sharding, const CostModel& costs, const Gpu& gpu) {
  if (sharding.tp_overlap != "userbuffers") return;
  // Transformer Engine base.py: 16 multiprocessors for the methods bulk and pipeline.
  share_multiprocessors(model, costs, *gpu.sms > 32 ? 1 - 16.0 / *gpu.sms : 1);
}

Boundary boundary_of(const Job& job, const Sharding& sharding) {
  // Behind an encoder both its tokens and the decoder's go on from stage to stage.
  const double tokens = sharding.tokens + (job.model.encoder_layers > 0 ? sharding.of_decoder().tokens : 0);
  const Bytes whole(sharding.element * tokens * static_cast<double>(job.model.hidden));
  if (sharding.sequence_parallel) return {whole / sharding.tensor, Bytes(0)};
  if (*job.framework.p2p_scatter_gather && sharding.tensor > 1) return {whole / sharding.tensor, whole};
  return {whole, Bytes(0)};
}

PipelineShape timed_shape(const Job& job, const ShardedModel& model, const CostModel& costs, Bytes boundary) {
  PipelineShape shape = pipeline_shape(job.plan);
  if (find_schedule(job.plan.schedule)->arranges) {
    shape.times = pass_times(model, costs);
    shape.exchange = point_to_point_time(boundary, costs.stages_cross_network(), job.cluster).si();
  }
  return shape;
}

std::vector<MemoryUse> memory_of(const Job& job, const ShardedModel& model, const std::vector<std::int64_t>& in_flight,
                                 Bytes boundary) {
  std::vector<MemoryUse> stages;
  for (int stage = 0; stage < job.plan.pipeline_parallel; ++stage) {
    stages.push_back(stage_memory(model, stage, job.plan, job.framework, job.cluster.gpu,
                                  in_flight[static_cast<std::size_t>(stage)], boundary));
  }
  return stages;
}

}  // namespace stepcast
