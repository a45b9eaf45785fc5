#include "simulator/execution/pass_times.hpp"

#include <map>

#include "simulator/execution/pass_ops.hpp"

namespace stepcast {

std::vector<std::vector<PassTimes>> pass_times(const ShardedModel& model, const CostModel& costs) {
  std::map<const LocalBlock*, PassTimes> blocks;
  const auto of_block = [&](const LocalBlock& block) {
    const auto [found, is_new] = blocks.try_emplace(&block);
    if (is_new) {
      const auto time = [&](const OpList& ops) { return costs.fold(ops, Seconds(0)).duration.seconds().si(); };
      found->second = {time(block.forward), time(input_gradients(block.backward)),
                       time(weight_gradients(block.backward))};
    }
    return found->second;
  };
  std::vector<std::vector<PassTimes>> times;
  for (const std::vector<ChunkContents>& stage : model.stages) {
    times.emplace_back();
    for (const ChunkContents& chunk : stage) {
      PassTimes& sum = times.back().emplace_back(PassTimes{0, 0, 0});
      for_each_block(model, chunk, [&](const LocalBlock& block, int count) {
        const PassTimes one = of_block(block);
        sum.forward += one.forward * count;
        sum.input += one.input * count;
        sum.weight += one.weight * count;
      });
    }
  }
  return times;
}

}  // namespace stepcast
