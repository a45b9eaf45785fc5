#pragma once
/// How much later than the mean the last of n finishes.

namespace stepcast {

/// Expected maximum of n independent standard normal values, in standard deviations: 0 for one, 1.42 for 8, 3.24 for
/// 1,024. Blom's approximation (Blom 1958), within 1% for n >= 2: the quantile at (n - 0.375) / (n + 0.25).
double expected_slowest(double n);

/// The standard normal quantile (Acklam's rational approximation, relative error below 1.2e-9).
double normal_quantile(double probability);

}  // namespace stepcast
