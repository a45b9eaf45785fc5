#include "simulator/workload/gradients.hpp"

namespace stepcast {

double computed_bytes(const ParallelPlan& plan) {
  return plan.precision == Precision::fp8 ? 2 : element_bytes(plan.precision);
}

double reduced_bytes(const ParallelPlan& plan) {
  const std::string& dtype = plan.grad_reduce_dtype.value();
  if (dtype == "fp32") return 4;
  return dtype == "parameter" ? computed_bytes(plan) : 2;
}

double accumulated_bytes(const ParallelPlan& plan, const Framework& framework) {
  const bool wide_exponent = plan.precision == Precision::bf16 || plan.precision == Precision::fp8;
  switch (*framework.gradient_dtype) {
    case GradientType::fp32: return 4;
    case GradientType::reduced: return reduced_bytes(plan);
    case GradientType::parameter: return computed_bytes(plan);
    case GradientType::fp32_if_bf16:
    case GradientType::fp32_beside_bf16: return wide_exponent ? 4 : computed_bytes(plan);
  }
  return 4;
}

double held_bytes(const ParallelPlan& plan, const Framework& framework) {
  const double sum = accumulated_bytes(plan, framework);
  const bool beside = *framework.gradient_dtype == GradientType::fp32_beside_bf16 && sum > computed_bytes(plan);
  return beside ? sum + computed_bytes(plan) : sum;
}

}  // namespace stepcast
