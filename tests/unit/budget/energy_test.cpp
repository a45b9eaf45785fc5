#include "simulator/budget/energy.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/input/input.hpp"
#include "simulator/input/operations_reader.hpp"
#include "simulator/predict.hpp"
#include "simulator/units/calendar.hpp"

namespace stepcast {
namespace {

constexpr Joules megawatt_hour = 1000 * kilowatt_hour;

// --- as published runs were accounted for: GPU-hours at the data sheet's power -------------------------------------

struct AccountCase {
  std::string name;
  double gpu_hours;
  Watts power;
  std::string site;
  double megawatt_hours;  ///< of the GPUs and the building; 0: not published
  double tonnes;
  double tolerance;
};
class PublishedAccounts : public testing::TestWithParam<AccountCase> {};

TEST_P(PublishedAccounts, EnergyAndCarbon) {
  const AccountCase& c = GetParam();
  const EnergyUse use = energy(c.gpu_hours * hour, c.power, gpus_alone, load_site(c.site));
  if (c.megawatt_hours > 0) {
    EXPECT_NEAR(use.facility / megawatt_hour / c.megawatt_hours, 1, c.tolerance);
  }
  EXPECT_NEAR(use.tonnes_co2e / c.tonnes, 1, c.tolerance);
}

INSTANTIATE_TEST_SUITE_P(
    ModelCards, PublishedAccounts,
    testing::Values(
        // Touvron et al. 2023, arXiv 2302.13971, sec. 6: 2,638 MWh and 1,015 t; GPU-hours are ours, from the energy.
        AccountCase{"llama_all", 2638e3 / 0.4 / 1.1, Watts(400), "meta-2023", 2638, 1015, 0.002},
        // The same, table 15.
        AccountCase{"llama_65b", 1022362, Watts(400), "meta-2023", 449, 173, 0.003},
        // Llama-2, arXiv 2307.09288, table 2; the 34B ran at 350 W.
        AccountCase{"llama2_7b", 184320, Watts(400), "meta-2023", 0, 31.22, 0.002},
        AccountCase{"llama2_13b", 368640, Watts(400), "meta-2023", 0, 62.44, 0.002},
        AccountCase{"llama2_34b", 1038336, Watts(350), "meta-2023", 0, 153.90, 0.002},
        AccountCase{"llama2_70b", 1720320, Watts(400), "meta-2023", 0, 291.42, 0.002},
        // Llama-3.1's model card, location-based.
        AccountCase{"llama31_8b", 1.46e6, Watts(700), "meta-2024", 0, 420, 0.01},
        AccountCase{"llama31_70b", 7.0e6, Watts(700), "meta-2024", 0, 2040, 0.01},
        AccountCase{"llama31_405b", 30.84e6, Watts(700), "meta-2024", 0, 8930, 0.002},
        // Patterson et al. 2021, arXiv 2104.10350, table 4: 10,000 V100 for 14.8 days at 330 W.
        AccountCase{"gpt3", 10000 * 14.8 * 24, Watts(330), "azure-gpt3", 1287, 552, 0.005}),
    [](const auto& c) { return c.param.name; });

/// Luccioni et al. 2022, arXiv 2211.02001: 433,196 kWh and 24.7 t, of the GPUs without the building.
TEST(PublishedAccounts, Bloom) {
  Site grid = load_site("jean-zay");
  grid.pue.value = 1;
  const EnergyUse use = energy(1082990 * hour, Watts(400), gpus_alone, grid);
  EXPECT_NEAR(use.gpus / kilowatt_hour, 433196, 1);
  EXPECT_NEAR(use.tonnes_co2e, 24.7, 0.05);
}

/// 30.84M GPU-hours at 700 W: 21.6 GWh of the GPUs.
TEST(PublishedAccounts, Llama31AtItsPowerLimit) {
  EXPECT_NEAR(energy(30.84e6 * hour, Watts(700), gpus_alone, {}).gpus / megawatt_hour, 21588, 1);
}

// --- power of a step -----------------------------------------------------------------------------------------------

/// FlagPerf's operator benchmarks on an A100 of 400 W, one at a time.
TEST(AveragePower, OfWhatWasMeasured) {
  const auto watts = [](Occupation occupation) { return average_power(occupation, Watts(400)) / Watts(1); };
  EXPECT_NEAR(watts({1, 0, 0, 0, 0}), (338.4 + 392.9) / 2, 1e-9);
  EXPECT_NEAR(watts({0, 1, 0, 0, 0}), 239.3, 1e-9);
  EXPECT_NEAR(watts({0, 0, 1, 0, 0}), 146, 1e-9);
  EXPECT_NEAR(watts({0, 0, 0, 1, 0}), 103, 1e-9);
  EXPECT_NEAR(watts({0, 0, 0, 0, 1}), 85, 1e-9);
}

Breakdown parts(double compute, double tp, double dp, double bubble, double optimizer) {
  Breakdown breakdown;
  breakdown.compute = Seconds(compute);
  breakdown.tp_comm_exposed = Seconds(tp);
  breakdown.dp_comm_exposed = Seconds(dp);
  breakdown.bubble = Seconds(bubble);
  breakdown.optimizer = Seconds(optimizer);
  return breakdown;
}

TEST(AveragePower, OfABreakdown) {
  const Occupation of = occupation(parts(6, 1, 1, 1, 1), 0.25, 0.05);
  EXPECT_DOUBLE_EQ(of.matrix, 0.42);
  EXPECT_DOUBLE_EQ(of.memory, 0.25);
  EXPECT_DOUBLE_EQ(of.communication_inside, 0.1);
  EXPECT_DOUBLE_EQ(of.communication_between, 0.1);
  EXPECT_DOUBLE_EQ(of.waiting, 0.13);
  EXPECT_NEAR(of.matrix + of.memory + of.communication_inside + of.communication_between + of.waiting, 1, 1e-12);
}

/// Between a GPU that waits and one that multiplies; more of the first is less power.
RC_GTEST_PROP(AveragePower, LiesBetweenWaitingAndMultiplying, ()) {
  const auto part = [] { return *rc::gen::inRange(0, 1000) / 100.0; };
  const double compute = 0.01 + part();
  const Breakdown breakdown = parts(compute, part(), part(), part(), part());
  const double memory = *rc::gen::inRange(0, 101) / 100.0;
  const Watts power = average_power(occupation(breakdown, memory), Watts(700));
  RC_ASSERT(power >= 700_W * PowerLevels().waiting * (1 - 1e-12));
  RC_ASSERT(power <= 700_W * PowerLevels().matrix * (1 + 1e-12));
  Breakdown waits = breakdown;
  waits.bubble += Seconds(1);
  RC_ASSERT(average_power(occupation(waits, memory), Watts(700)) <= power);
}

/// A predicted step: every second is of some kind, and what its kernels are bound by is in the shares.
TEST(AveragePower, OfAReport) {
  const Report report = predict(load_job("scenarios/quickstart.yaml"));
  const Occupation of = occupation(report);
  EXPECT_NEAR(of.matrix + of.memory + of.communication_inside + of.communication_between + of.waiting, 1, 1e-9);
  EXPECT_GT(of.matrix, report.mfu) << "matrix units are busy for longer than their peak would take";
  EXPECT_GT(of.memory, 0.05);
  const Watts power = average_power(report, Watts(400));
  EXPECT_GT(power, 400_W * 0.5);
  EXPECT_LT(power, 400_W * PowerLevels().matrix);
}

TEST(EnergyUse, GoesUpTheBuilding) {
  Site site;
  site.pue.value = 1.2;
  site.grams_co2e_per_kwh.value = 100;
  const EnergyUse use = energy(100 * hour, Watts(500), 10 * hour, Watts(100), NodePower{1.5}, site);
  EXPECT_DOUBLE_EQ(use.gpus / kilowatt_hour, 51);
  EXPECT_DOUBLE_EQ(use.nodes / kilowatt_hour, 76.5);
  EXPECT_DOUBLE_EQ(use.facility / kilowatt_hour, 91.8);
  EXPECT_DOUBLE_EQ(use.tonnes_co2e, 0.00918);
}

/// At most as a DGX H100 at its limit, 10.2 kW of which 5.6 kW are its GPUs'; and more than its GPUs.
TEST(NodePower, IsWithinWhatServersDraw) {
  EXPECT_GT(NodePower().factor, 1);
  EXPECT_LT(NodePower().factor, 10.2 / 5.6);
}

}  // namespace
}  // namespace stepcast
