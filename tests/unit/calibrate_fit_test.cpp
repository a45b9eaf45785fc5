// A fit is given the simulator's own times of a GPU that we made up, and has to find its constants again.

#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calibration/fit/fit.hpp"
#include "calibration/fit/plot.hpp"
#include "calibration/fit/profile_text.hpp"
#include "calibration/fit/surface.hpp"
#include "simulator/input/input.hpp"
#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {
namespace {

using testing::HasSubstr;

constexpr const char* base_name = "a100-80gb-sxm";

Measurement measured(MeasuredPoint point, double seconds, const std::string& library = "made-up") {
  Measurement measurement;
  measurement.gpu = base_name;
  measurement.device = "A100";
  measurement.library = library;
  measurement.time_us = seconds * 1e6;
  measurement.point = std::move(point);
  return measurement;
}

/// The base GPU at burst speed and with other constants than its own.
Gpu made_up() {
  Gpu gpu = load_gpu(base_name);
  GemmProfile& gemm = gpu.gemm.at(Precision::bf16);
  gemm.tiles = {{256, 128}, {128, 64}};
  gemm.peak_fraction.value = 0.7;
  gemm.memory_fraction.value = 0.85;
  gemm.fixed_time.value = Seconds(3e-6);
  gemm.sustained.value = 1;
  gemm.residual = {};
  return gpu;
}

GemmPoint gemm_point(std::int64_t m, std::int64_t n, std::int64_t k) { return {m, n, k, 1, "tn", "bf16", false}; }

double time_of(const GemmPoint& p, const Gpu& gpu) {
  return gemm_time(Gemm{double(p.m), double(p.n), double(p.k), 1, Precision::bf16, Layout::tn, false}, gpu).time.si();
}

std::vector<GemmPoint> shapes() {
  std::vector<GemmPoint> points;
  for (const std::int64_t m : {256, 512, 1024, 2048, 4096, 8192})
    for (const std::int64_t n : {1024, 2560, 4096, 6144, 11008, 16384})
      for (const std::int64_t k : {768, 1536, 4096, 8192, 11008}) points.push_back(gemm_point(m, n, k));
  return points;
}

std::vector<Measurement> gemms(const Gpu& gpu) {
  std::vector<Measurement> measurements;
  for (const GemmPoint& point : shapes()) measurements.push_back(measured(point, time_of(point, gpu)));
  return measurements;
}

const HoldOutRow& row_of(const Fit& fit, const std::string& what, const std::string& size) {
  for (const HoldOutRow& row : fit.rows)
    if (row.what == what && row.size_class == size) return row;
  throw std::logic_error("no such row: " + what + ", " + size);
}

double value_of(const Fit& fit, const std::string& path) {
  for (const FittedNumber& number : fit.numbers)
    if (number.path == path) return std::stod(number.value);
  throw std::logic_error("not fitted: " + path);
}

TEST(CalibrateFit, FindsTheConstantsOfAMadeUpGpu) {
  const Gpu truth = made_up();
  const Fit fit = fit_gpu(gemms(truth), load_gpu(base_name), {});
  EXPECT_LT(row_of(fit, "gemm bf16", "all above 10 GFLOP").formula.mean, 0.02);
  EXPECT_LT(row_of(fit, "gemm bf16", "all below 10 GFLOP").formula.mean, 0.05);
  EXPECT_NEAR(value_of(fit, "gemm.bf16.peak_fraction"), 0.7, 0.02);
  EXPECT_NEAR(value_of(fit, "gemm.bf16.fixed_time"), 3, 1.5);  // us
}

TEST(CalibrateFit, GivesTheSameAnswerTwice) {
  const std::vector<Measurement> measurements = gemms(made_up());
  const std::string once = profile_text(fit_gpu(measurements, load_gpu(base_name), {}), base_name, "x");
  EXPECT_EQ(profile_text(fit_gpu(measurements, load_gpu(base_name), {}), base_name, "x"), once);
}

// One source ran at a clock that is a tenth slower: that is its ratio and no error of the shapes.
TEST(CalibrateFit, TellsASlowerClockFromTheShapes) {
  const Gpu truth = made_up();
  std::vector<Measurement> measurements = gemms(truth);
  for (const GemmPoint& point : shapes()) measurements.push_back(measured(point, 1.1 * time_of(point, truth), "slow"));
  FitOptions options;
  options.reference_source = "made";
  const Fit fit = fit_gpu(measurements, load_gpu(base_name), options);
  ASSERT_EQ(fit.ratios.size(), 2u);
  EXPECT_NEAR(fit.ratios[0].time_ratio, 1.0, 0.005);
  EXPECT_NEAR(fit.ratios[1].time_ratio, 1.1, 0.01);
  EXPECT_LT(row_of(fit, "gemm bf16", "all above 10 GFLOP").formula.mean, 0.03);
}

TEST(CalibrateFit, HoldsAWholeSourceOut) {
  const Gpu truth = made_up();
  std::vector<Measurement> measurements = gemms(truth);
  for (const GemmPoint& point : shapes()) measurements.push_back(measured(point, 1.2 * time_of(point, truth), "other"));
  FitOptions options;
  options.held_out_source = "other";
  const Fit fit = fit_gpu(measurements, load_gpu(base_name), options);
  bool found = false;
  for (const HoldOutRow& row : fit.rows) {
    if (row.held_out != "source other" || row.size_class != std::string("all above 10 GFLOP")) continue;
    found = true;
    EXPECT_LT(row.formula.mean, 0.03);  // after its one ratio
  }
  EXPECT_TRUE(found);
  for (const SourceRatio& ratio : fit.ratios) EXPECT_NEAR(ratio.time_ratio, ratio.held_out ? 1.2 : 1.0, 0.01);
  for (const FittedNumber& number : fit.numbers) EXPECT_THAT(number.source, testing::Not(HasSubstr("other")));
}

// What the formula cannot express, here 20% on long k, the surface takes up; shapes that were not fitted gain by it.
TEST(CalibrateFit, TheSurfaceTakesUpWhatTheFormulaLeaves) {
  std::vector<Residual> residuals;
  std::mt19937 random(7);
  const auto place = [&] { return 8 + static_cast<double>(random() % 6000) / 1000; };  // log2: 8 to 14
  for (int i = 0; i < 4000; ++i) {
    const double k = place();
    const double noise = (static_cast<double>(random() % 200) - 100) / 2000;  // +-5%
    residuals.push_back({{place(), place(), k}, (k > 11 ? 0.2 : 0.0) + noise, 1});
  }
  for (int i = 0; i < 40; ++i) residuals[static_cast<std::size_t>(i) * 100].log_ratio = 3;  // 1% gone wrong
  const ResidualSurface surface = fit_surface(residuals);
  EXPECT_NEAR(surface.at(11, 11, 13).log_ratio, 0.2, 0.03);
  EXPECT_NEAR(surface.at(11, 11, 9).log_ratio, 0.0, 0.03);
  EXPECT_TRUE(surface.at(11, 11, 9).supported);
  int counted = 0;
  for (const int count : surface.support) counted += count;
  EXPECT_EQ(counted, 4000);
  for (const auto& axis : surface.axes) EXPECT_LE(axis.size(), 7u);
}

TEST(CalibrateFit, AThinSurfaceStaysNearZero) {
  const ResidualSurface surface = fit_surface({{{10, 10, 10}, 0.3, 1}, {{12, 12, 12}, 0.3, 1}});
  EXPECT_LE(surface.log_ratio.size(), 1u);
  EXPECT_LT(surface.at(10, 10, 10).log_ratio, 0.25);
  EXPECT_TRUE(fit_surface({}).empty());
}

TEST(CalibrateFit, Attention) {
  Gpu truth = made_up();
  AttentionProfile::Kernel& kernel = truth.attention.kernels.at("flash2");
  kernel.forward.fraction.value = 0.6;
  kernel.backward.fraction.value = 0.5;
  kernel.forward.causal_half_length.value = 300;
  kernel.backward.causal_half_length.value = 700;
  std::vector<Measurement> measurements;
  Gpu base = load_gpu(base_name);
  base.gemm = truth.gemm;
  for (const std::int64_t batch : {1, 2, 8})
    for (const std::int64_t heads : {16, 32, 64})
      for (const std::int64_t length : {512, 1024, 2048, 4096, 8192})
        for (const bool backward : {false, true}) {
          const AttentionPoint p{batch, heads, heads, length, length, 128, true, backward, "bf16", "flash2"};
          AttentionKernel a;
          a.sequences = double(batch);
          a.heads = a.kv_heads = double(heads);
          a.query_length = a.key_length = double(length);
          a.head_dim_qk = a.head_dim_v = 128;
          a.backward = backward;
          a.kernel = "flash2";
          measurements.push_back(measured(p, attention_time(a, truth).time.si()));
        }
  const Fit fit = fit_gpu(measurements, base, {});
  EXPECT_NEAR(value_of(fit, "attention.kernels.flash2.forward.fraction"), 0.6, 0.02);
  EXPECT_NEAR(value_of(fit, "attention.kernels.flash2.backward.fraction"), 0.5, 0.02);
  EXPECT_NEAR(value_of(fit, "attention.kernels.flash2.forward.causal_half_length"), 300, 40);
  EXPECT_NEAR(value_of(fit, "attention.kernels.flash2.backward.causal_half_length"), 700, 70);
  EXPECT_LT(row_of(fit, "attention flash2 backward", "all above 10 GFLOP").formula.mean, 0.02);
}

TEST(CalibrateFit, MemoryBound) {
  Gpu truth = made_up();
  truth.memory_bound.bandwidth_fraction.value = 0.9;
  truth.memory_bound.ramp_time.value = Seconds(1e-6);
  truth.memory_bound.floor_time.value = Seconds(3e-6);
  std::vector<Measurement> measurements;
  for (std::int64_t bytes = 1 << 14; bytes <= (std::int64_t{1} << 32); bytes *= 2)
    for (const char* op : {"copy", "rmsnorm"})
      measurements.push_back(
          measured(MemoryPoint{op, bytes, {}}, memory_time({Bytes(double(bytes)), 1}, truth).time.si()));
  const Fit fit = fit_gpu(measurements, load_gpu(base_name), {});
  EXPECT_NEAR(value_of(fit, "memory_bound.bandwidth_fraction"), 0.9, 0.01);
  EXPECT_NEAR(value_of(fit, "memory_bound.ramp_time"), 1, 0.3);
  EXPECT_LT(row_of(fit, "memory", "all above 1 MB").formula.mean, 0.02);
}

// --- what is refused -------------------------------------------------------------------------------------------------

std::string refusal(const std::vector<Measurement>& measurements, const FitOptions& options = {}) {
  try {
    fit_gpu(measurements, load_gpu(base_name), options);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(CalibrateFit, RefusesTooFewMeasurements) {
  EXPECT_THAT(refusal({}), HasSubstr("nothing to fit"));
  EXPECT_THAT(refusal({measured(gemm_point(1024, 1024, 1024), 1e-4)}),
              HasSubstr("too few gemm bf16 measurements to fit: 1 of 1 families"));
  EXPECT_THAT(refusal({measured(MemoryPoint{"copy", 1 << 20, {}}, 1e-5)}), HasSubstr("too few memory measurements"));
  EXPECT_THAT(refusal({measured(AttentionPoint{1, 8, 8, 1024, 1024, 128, true, false, "bf16", "flash2"}, 1e-4)}),
              HasSubstr("too few attention measurements of kernel 'flash2'"));
}

TEST(CalibrateFit, RefusesContradictionsAndOtherGpus) {
  const std::vector<Measurement> twice{measured(gemm_point(1024, 1024, 1024), 1e-4),
                                       measured(gemm_point(1024, 1024, 1024), 3e-4)};
  EXPECT_THAT(refusal(twice), HasSubstr("contradict each other: 100 us"));
  std::vector<Measurement> alien{measured(gemm_point(1024, 1024, 1024), 1e-4)};
  alien[0].gpu = "h100-80gb-sxm";
  EXPECT_THAT(refusal(alien), HasSubstr("no measurements of a100-80gb-sxm; --relative h100-80gb-sxm"));
  EXPECT_THAT(refusal({measured(GemmPoint{1024, 1024, 1024, 1, "tn", "fp8", false}, 1e-4)}),
              HasSubstr("has no fp8 matrix units"));
  FitOptions options;
  options.held_out_source = "trtlm";
  EXPECT_THAT(refusal({measured(gemm_point(64, 64, 64), 1e-5, "trtllm-1.0")}, options),
              HasSubstr("unknown source 'trtlm' (one of: trtllm-1.0)"));
}

// --- what is written -------------------------------------------------------------------------------------------------

TEST(CalibrateFit, ProfileTextKeepsMapsTogether) {
  Fit fit;
  fit.numbers = {{"gemm.bf16.peak_fraction", "0.8", "10 measurements (\"x\")"},
                 {"memory_bound.ramp_time", "2 us", "y"},
                 {"gemm.fp8.peak_fraction", "0.7", "z"}};
  ResidualSurface surface;
  surface.axes = {std::vector<double>{9, 11}, std::vector<double>{10}, std::vector<double>{8, 12.5}};
  surface.log_ratio = {0.01, -0.02, 0, 0.125};
  surface.support = {3, 4, 0, 5};
  surface.source = "12 measurements";
  fit.surfaces = {{"gemm.bf16.residual", surface}};
  EXPECT_EQ(profile_text(fit, "a100-80gb-sxm", "Mine"),
            R"yaml(# Written by `stepcast calibrate fit`. Speeds are burst speeds; what is not here is the base's.
extends: a100-80gb-sxm
description: "Mine"
gemm:
  bf16:
    peak_fraction: {value: 0.8, basis: fitted, source: "10 measurements (\"x\")"}
    residual:
      m: [9, 11]   # log2 of the sizes at the grid points
      n: [10]
      k: [8, 12.5]
      log_ratio:   # ln(measured / formula): a line for each m, in it n by n, k fastest
        [0.01, -0.02,
         0, 0.125]
      support:   # measurements next to each point
        [3, 4,
         0, 5]
      basis: fitted
      source: "12 measurements"
  fp8:
    peak_fraction: {value: 0.7, basis: fitted, source: "z"}
memory_bound:
  ramp_time: {value: 2 us, basis: fitted, source: "y"}
)yaml");
}

TEST(CalibrateFit, PlotDrawsWhatWasHeldOut) {
  Fit fit;
  fit.points = {{"gemm <bf16>", 100, 105, true}, {"gemm <bf16>", 10, 10, false}};
  const std::string svg = plot_svg(fit, "A & B");
  EXPECT_THAT(svg, HasSubstr("<svg xmlns"));
  EXPECT_THAT(svg, HasSubstr("A &amp; B"));
  EXPECT_THAT(svg, HasSubstr("gemm &lt;bf16&gt;: 1 points, median 5.0%"));
  EXPECT_THAT(plot_svg({}, "nothing"), HasSubstr("</svg>"));
}

}  // namespace
}  // namespace stepcast
