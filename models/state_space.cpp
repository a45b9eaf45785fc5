/// State-space layers: Mamba-2 (arXiv 2405.21060), operators and tensor-parallel splits as in Megatron-LM
/// `mamba_mixer.py`: heads and groups are split.

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
  add("in_proj", LinearOp{.in = h,
                          .out = ssm.inner() + ssm.convolved() + ssm.heads,  // z; x, B and C; dt
                          .split = TensorSplit::column,
                          .parts = {}});
  add("convolution", ConvolutionOp{ssm.convolved(), ssm.convolution});
  add("state_space_scan", StateSpaceOp{ssm});
  add("gated_norm", NormOp{.kind = NormKind::rmsnorm, .width = ssm.inner(), .vectors = 1});
  add("out_proj", LinearOp{.in = ssm.inner(), .out = h, .split = TensorSplit::row, .parts = {}});
  add("state_space_residual", ResidualOp{});
}

ModelGraph hybrid(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  return stack(model, vocab, positions);
}

}  // namespace stepcast
