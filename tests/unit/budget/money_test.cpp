#include "simulator/budget/money.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/input/operations_reader.hpp"
#include "simulator/units/calendar.hpp"
#include "simulator/units/money_text.hpp"

namespace stepcast {
namespace {

Usage gpu_hours(double hours) {
  Usage usage;
  usage.gpus = 1;
  usage.wall = hours * hour;
  return usage;
}

TimePrice an_hour(double usd) { return TimePrice(Dollars(usd), hour); }

/// DeepSeek-AI 2024, arXiv 2412.19437, table 1: hours of H800 at the $2 that they reckon with.
TEST(Bill, OfDeepSeekV3) {
  const OnDemand price{load_price_list("deepseek-v3").on_demand};
  EXPECT_NEAR(bill(gpu_hours(2.664e6), price).total().usd(), 5.328e6, 1);
  EXPECT_NEAR(bill(gpu_hours(119e3), price).total().usd(), 0.238e6, 1);
  EXPECT_NEAR(bill(gpu_hours(5e3), price).total().usd(), 0.01e6, 1);
  EXPECT_NEAR(bill(gpu_hours(2.788e6), price).total().usd(), 5.576e6, 1);
}

TEST(Bill, ReservedTermIsPaidWhole) {
  Usage usage = gpu_hours(0);
  usage.gpus = 100;
  usage.wall = 60 * day;
  const Bill paid = bill(usage, Reserved{an_hour(4), 0.25, 90 * day});
  EXPECT_NEAR(paid.total().usd(), 100 * 90 * 24 * 3, 1e-6);
  ASSERT_EQ(paid.parts.size(), 2U);
  EXPECT_NEAR(paid.parts[0].amount.usd(), 100 * 60 * 24 * 3, 1e-6);  // the run; the rest is idle
  usage.wall = 91 * day;                                             // begins a second term
  EXPECT_NEAR(bill(usage, Reserved{an_hour(4), 0.25, 90 * day}).total().usd(), 100 * 180 * 24 * 3, 1e-6);
}

TEST(Bill, OwnedIsWrittenOff) {
  Owned terms;
  terms.purchase_per_gpu = Dollars(40000);
  terms.residual = 0.1;
  terms.life = 4 * year;
  terms.interest = 0.05;
  terms.utilisation = 0.8;
  terms.hosting_per_gpu = an_hour(0.08);
  terms.electricity = EnergyPrice(Dollars(0.1), kilowatt_hour);
  Usage usage;
  usage.gpus = 1000;
  usage.wall = 0.08 * year;
  usage.energy = 1e6 * kilowatt_hour;
  const Bill paid = bill(usage, terms);
  const double lives = 1000 * 0.08 / 4 / 0.8;
  ASSERT_EQ(paid.parts.size(), 4U);
  EXPECT_NEAR(paid.parts[0].amount.usd(), lives * 36000, 1e-6);
  EXPECT_NEAR(paid.parts[1].amount.usd(), lives * 22000 * 0.05 * 4, 1e-6);
  EXPECT_NEAR(paid.parts[2].amount.usd(), 1000 * 0.08 * 365.25 * 24 * 0.08 / 0.8, 1e-6);
  EXPECT_NEAR(paid.parts[3].amount.usd(), 1e5, 1e-6);
}

TEST(Bill, StorageAndEgress) {
  Usage usage = gpu_hours(0);
  usage.wall = year / 4;
  usage.checkpoint = 5.0_TB;
  usage.checkpoints_kept = 20;
  usage.kept_for = year / 2;
  usage.dataset = 30.0_TB;
  usage.egress = 1.0_TB;
  const StorageTerms terms{StoragePrice(Dollars(20), 1.0_TB * (year / 12)), TransferPrice(Dollars(0.05), 1.0_GB)};
  const Bill paid = bill(usage, OnDemand{}, terms);
  ASSERT_EQ(paid.parts.size(), 3U);  // GPUs are free here
  EXPECT_NEAR(paid.parts[0].amount.usd(), 20 * 5 * 6 * 20, 1e-6);
  EXPECT_NEAR(paid.parts[1].amount.usd(), 30 * 3 * 20, 1e-6);
  EXPECT_NEAR(paid.parts[2].amount.usd(), 50, 1e-6);
}

/// A reservation is never cheaper than its discount says, and costs that when the term is used up.
RC_GTEST_PROP(Bill, ReservationCostsAtLeastItsHours, ()) {
  const double discount = *rc::gen::inRange(0, 100) / 100.0;
  Usage usage = gpu_hours(*rc::gen::inRange(1, 20000));
  usage.gpus = *rc::gen::inRange(1, 5000);
  const Seconds term = *rc::gen::inRange(1, 400) * day;
  const double on_demand = bill(usage, OnDemand{an_hour(3)}).total().usd();
  const double reserved = bill(usage, Reserved{an_hour(3), discount, term}).total().usd();
  RC_ASSERT(reserved >= on_demand * (1 - discount) * (1 - 1e-9));
  usage.wall = 3 * term;
  const double used_up = bill(usage, Reserved{an_hour(3), discount, term}).total().usd();
  RC_ASSERT(std::abs(used_up - bill(usage, OnDemand{an_hour(3)}).total().usd() * (1 - discount)) <= 1e-6 * used_up);
}

// --- as text -------------------------------------------------------------------------------------------------------

TEST(MoneyText, Prices) {
  EXPECT_DOUBLE_EQ(parse_price<Seconds>("2 USD/GPU-hour")->of(hour).usd(), 2);
  EXPECT_DOUBLE_EQ(parse_price<Seconds>("$2/GPU-hour")->of(day).usd(), 48);
  EXPECT_DOUBLE_EQ(parse_price<Seconds>("48 USD/GPU-day")->of(hour).usd(), 2);
  EXPECT_DOUBLE_EQ(parse_price<Joules>("0.08 USD/kWh")->of(1000 * kilowatt_hour).usd(), 80);
  EXPECT_NEAR(parse_price<ByteSeconds>("23 USD/TB-month")->of(1.0_TB * year).usd(), 276, 1e-9);
  EXPECT_DOUBLE_EQ(parse_price<Bytes>("0.05 USD/GB")->of(1.0_TB).usd(), 50);
  for (const char* text :
       {"2", "2 USD", "2 EUR/GPU-hour", "USD/GPU-hour", "2 USD/hour", "$ /GPU-hour", "nan USD/kWh", ""})
    EXPECT_FALSE(parse_price<Seconds>(text)) << text;
  EXPECT_EQ(price_unit_names<Seconds>(), "USD/GPU-hour, USD/GPU-day");
}

TEST(MoneyText, Amounts) {
  EXPECT_EQ(parse_dollars("$30000")->usd(), 30000);
  EXPECT_EQ(parse_dollars("30000 USD")->usd(), 30000);
  EXPECT_FALSE(parse_dollars("30000"));
  EXPECT_FALSE(parse_dollars("30000 USD/GPU-hour"));
  EXPECT_EQ(to_text(Dollars(5.576e6)), "$5.58M");
  EXPECT_EQ(to_text(Dollars(61700)), "$61,700");
  EXPECT_EQ(to_text(Dollars(2)), "$2.00");
  EXPECT_EQ(to_text(Dollars(1.5e9)), "$1.50B");
  EXPECT_EQ(to_text(Dollars(999999)), "$1.00M");
  EXPECT_EQ(to_text(Dollars(-2500)), "-$2,500");
}

}  // namespace
}  // namespace stepcast
