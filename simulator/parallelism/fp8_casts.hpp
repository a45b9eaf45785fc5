#pragma once
/// What bringing tensors to fp8 moves, by recipe of scaling.
///
/// A product takes both operands with rows along its inner dimension, so that a tensor of two products (an input forward
/// and in the weight gradient, an output gradient in both backward products, a weight forward and in the input gradient)
/// is wanted in two orders.
///
/// One scale a tensor or a tile (Transformer Engine; torchao tensorwise): one kernel reads the 16-bit tensor and writes
/// both orders, 2 + 1 + 1; weights once a step.
///
/// One scale a row (torchao rowwise): the two orders have scales of their own. Along rows, 2 + 1. Across them the
/// largest of a column is sought first, 2, then 2 + 1; these kernels, which TorchInductor writes, reach 1.4 where others
/// reach 2.2 TB/s on H100 (pytorch/pytorch issue 133242): counted as 5 x 2.2 / 1.4. Weights are cast in every pass. The
/// backward products take cuBLAS' kernel, which knows no rows, and their results are multiplied by the scales in a kernel
/// of their own, 2 + 2 (pytorch/ao pull request 1325, issue 2184).
/// Leaves out: the forward kernel is up to a tenth slower than cuBLAS' (pytorch/pytorch issue 147971).

#include <string_view>

namespace stepcast {

/// Bytes an element.
struct Fp8Casts {
  double input = 4;          ///< of a product's input, forward
  double weight = 4;         ///< of its weight
  bool weights_once = true;  ///< a step, not in every pass
  double gradient = 4;       ///< of its output gradient, backward
  double input_again = 0;    ///< of the input in the other order, backward
  double weight_again = 0;   ///< and of the weight
  double rescaled = 0;       ///< of the two results of the backward pass
};

/// `recipe` as in a run's `framework.fp8_recipe`; empty when unsaid.
Fp8Casts fp8_casts(std::string_view recipe);

}  // namespace stepcast
