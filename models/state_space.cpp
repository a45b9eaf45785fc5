/// State-space layers: Mamba-2 (arXiv 2405.21060), operators and tensor-parallel splits as in Megatron-LM
/// `mamba_mixer.py`: heads and groups are split; and Mamba (arXiv 2312.00752), channels split, its small projection reduced.

#include "models/families.hpp"
#include "models/parts.hpp"

namespace stepcast {

void add_state_space(const Architecture& model, Block& layer) {
  const StateSpace& ssm = *model.ssm;
  const std::int64_t h = model.hidden;
  auto add = [&layer](std::string_view name, auto op, unsigned modules = 0) {
    layer.ops.push_back({name, op, modules});
  };

  add("input_norm", NormOp{model.norm}, module::layernorm);
  const std::int64_t steps = ssm.selective() ? 0 : ssm.heads;
  add("in_proj", LinearOp{.in = h,
                          .out = ssm.inner() + ssm.convolved() + steps,  // z; x, B and C; dt
                          .split = TensorSplit::column,
                          .parts = {}});
  add("convolution", ConvolutionOp{ssm.convolved(), ssm.convolution});
  if (ssm.selective()) {
    const std::int64_t chosen = ssm.step_rank + 2 * ssm.state;  // dt, B and C of each token
    add("x_proj",
        LinearOp{.in = ssm.inner(), .out = chosen, .split = TensorSplit::row, .parts = {}, .saves_input = false});
    add("dt_proj",
        LinearOp{.in = ssm.step_rank, .out = ssm.inner(), .bias = true, .split = TensorSplit::column, .parts = {}});
  }
  add("state_space_scan", StateSpaceOp{ssm});
  if (!ssm.selective()) add("gated_norm", NormOp{.kind = NormKind::rmsnorm, .width = ssm.inner(), .vectors = 1});
  add("out_proj", LinearOp{.in = ssm.inner(), .out = h, .split = TensorSplit::row, .parts = {}});
  add("state_space_residual", ResidualOp{});
}

ModelGraph hybrid(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  return stack(model, vocab, positions);
}

}  // namespace stepcast
