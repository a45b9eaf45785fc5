#include "simulator/units/units.hpp"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

// --- dimensions --------------------------------------------------------------------------------------------------

static_assert(400.0_Gbps == 50.0_GBps, "NICs quote bits, NVLink bytes");
static_assert(1_GiB > 1_GB);
static_assert(-(2.0_s) == 1.0_s - 3.0_s);

TEST(Quantity, DimensionsOfProductsFollow) {
  constexpr Seconds transfer = 0.9_GB / 450.0_GBps;
  EXPECT_DOUBLE_EQ(transfer / 1.0_ms, 2.0);
  constexpr FlopsPerSecond rate = 312.0_TFLOP / 2.0_s;
  EXPECT_DOUBLE_EQ(rate / 1.0_TFLOPS, 156.0);
  constexpr Joules energy = 400.0_W * 3600.0_s;
  EXPECT_DOUBLE_EQ(energy.si(), 1.44e6);
}

// --- reading -----------------------------------------------------------------------------------------------------

struct Reading {
  const char* text;
  double si;
};

template <class Q>
void expect_readings(const std::vector<Reading>& readings) {
  for (const Reading& reading : readings) {
    const auto quantity = parse_quantity<Q>(reading.text);
    ASSERT_TRUE(quantity) << reading.text;
    EXPECT_DOUBLE_EQ(quantity->si(), reading.si) << reading.text;
  }
}

template <class Q>
void expect_refusals(const std::vector<const char*>& texts) {
  for (const char* text : texts) EXPECT_FALSE(parse_quantity<Q>(text)) << text;
}

TEST(ParseQuantity, Times) {
  expect_readings<Seconds>({{"3 s", 3},
                            {"3.5 ms", 3.5e-3},
                            {"4 us", 4e-6},
                            {"4us", 4e-6},
                            {"7 ns", 7e-9},
                            {"12 ps", 12e-12},
                            {"2 min", 120},
                            {"1.5 h", 5400},
                            {"  1e-6 s  ", 1e-6},
                            {".5 s", 0.5},
                            {"-2 ms", -2e-3},
                            {"0 s", 0}});
}

TEST(ParseQuantity, Sizes) {
  expect_readings<Bytes>({{"1 B", 1},
                          {"1 KB", 1e3},
                          {"1 MB", 1e6},
                          {"80 GB", 80e9},
                          {"1 TB", 1e12},
                          {"1 PB", 1e15},
                          {"1 KiB", 1024},
                          {"40 MiB", 40.0 * 1048576},
                          {"80 GiB", 80.0 * 1073741824},
                          {"1 TiB", 1099511627776.0}});
}

TEST(ParseQuantity, RatesTellBitsFromBytes) {
  expect_readings<BytesPerSecond>({{"450 GB/s", 450e9},
                                   {"3.35 TB/s", 3.35e12},
                                   {"1 MB/s", 1e6},
                                   {"1 KB/s", 1e3},
                                   {"8 B/s", 8},
                                   {"1 GiB/s", 1073741824.0},
                                   {"400 Gb/s", 50e9},
                                   {"1.6 Tb/s", 200e9},
                                   {"8 Mb/s", 1e6},
                                   {"8 Kb/s", 1e3},
                                   {"8 b/s", 1}});
}

TEST(ParseQuantity, WorkPowerAndClocks) {
  expect_readings<Flops>({{"3 FLOP", 3}, {"3 GFLOP", 3e9}, {"3 TFLOP", 3e12}, {"3 PFLOP", 3e15}});
  expect_readings<FlopsPerSecond>({{"1 FLOP/s", 1}, {"1 GFLOP/s", 1e9}, {"312 TFLOP/s", 312e12}, {"2 PFLOP/s", 2e15}});
  expect_readings<Hertz>({{"5 Hz", 5}, {"1410 MHz", 1410e6}, {"1.98 GHz", 1.98e9}});
  expect_readings<Watts>({{"400 W", 400}, {"10.2 kW", 10200}, {"20 MW", 20e6}});
  expect_readings<Joules>({{"5 J", 5}, {"5 kJ", 5000}, {"2 kWh", 7.2e6}});
}

TEST(ParseQuantity, RefusesWhatIsNoNumberWithAUnitOfTheDimension) {
  expect_refusals<Seconds>({"", " ", "s", "4", "4 GB", "4 S", "4 sec", "nan s", "inf s", "-inf s", "1e999 s", "0x10 s",
                            "1,000 s", "4 s s", "4 m s", "+4 s", "four s", "4 us!"});
  expect_refusals<Bytes>({"80", "80 gb", "80 Gb", "80 GB/s", "1e300 TB"});
  expect_refusals<BytesPerSecond>({"450", "450 GB", "450 GBps", "450 gb/s"});
  expect_refusals<FlopsPerSecond>({"312 TFLOPS", "312 TFLOP"});
}

TEST(UnitNames, ListTheCustomaryFirst) {
  EXPECT_EQ(unit_names<Seconds>(), "s, ms, us, ns, ps, min, h, days, day, years, year");
  EXPECT_EQ(unit_names<Watts>(), "W, kW, MW");
}

// --- writing -----------------------------------------------------------------------------------------------------

TEST(ToText, ThreeDigitsInTheUnitThatSuits) {
  EXPECT_EQ(to_text(13.634_s), "13.6 s");
  EXPECT_EQ(to_text(1.25_us), "1.25 us");
  EXPECT_EQ(to_text(3.5_ms), "3.50 ms");
  EXPECT_EQ(to_text(999.6_us), "1.00 ms");  // three digits of 999.6 us are 1000 us
  EXPECT_EQ(to_text(104.5_s), "104 s");
  EXPECT_EQ(to_text(7200.0_s), "2.00 h");
  EXPECT_EQ(to_text(0.0_s), "0 s");
  EXPECT_EQ(to_text(-2.0_ms), "-2.00 ms");
  EXPECT_EQ(to_text(Seconds(3e-13)), "0.300 ps");
  EXPECT_EQ(to_text(45.63_GiB), "45.6 GiB");
  EXPECT_EQ(to_text(1023.9_MiB), "1.00 GiB");
  EXPECT_EQ(to_text(0.0_B), "0 B");
  EXPECT_EQ(to_text(300.0_GBps), "300 GB/s");
  EXPECT_EQ(to_text(2.039_TBps), "2.04 TB/s");
  EXPECT_EQ(to_text(989.4_TFLOPS), "989 TFLOP/s");
  EXPECT_EQ(to_text(12.0_GFLOP), "12.0 GFLOP");
  EXPECT_EQ(to_text(Flops(3.8e25)), "3.80e+25 FLOP");
  EXPECT_EQ(to_text(700.0_W), "700 W");
  EXPECT_EQ(to_text(20e6 * 1.0_W), "20.0 MW");
}

TEST(ToText, ReadsBackToThreeDigits) {
  for (double si = 1e-12; si < 999; si *= 1.37) {
    const std::string text = to_text(Seconds(si));
    const auto back = parse_quantity<Seconds>(text);
    ASSERT_TRUE(back) << text;
    EXPECT_NEAR(back->si() / si, 1, 0.00501) << text;
  }
}

TEST(NumberText, RoundsFractionsAndKeepsWholeDigits) {
  EXPECT_EQ(number_text(0.51387), "0.514");
  EXPECT_EQ(number_text(71.49), "71.5");
  EXPECT_EQ(number_text(9.999), "10.0");
  EXPECT_EQ(number_text(1024), "1,024");
  EXPECT_EQ(number_text(1234567.4), "1,234,567");
  EXPECT_EQ(number_text(-1234.5), "-1,234");
  EXPECT_EQ(number_text(-123.4), "-123");
  EXPECT_EQ(number_text(0), "0");
  EXPECT_EQ(number_text(0.00012345), "0.000123");
  EXPECT_EQ(number_text(0.000012345), "1.23e-05");
  EXPECT_EQ(number_text(3.14159, 5), "3.1416");
  EXPECT_EQ(number_text(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_EQ(number_text(std::numeric_limits<double>::quiet_NaN()), "nan");
}

TEST(PercentText, OneDecimal) {
  EXPECT_EQ(percent_text(0.5139), "51.4%");
  EXPECT_EQ(percent_text(0), "0.0%");
  EXPECT_EQ(percent_text(-0.0001), "0.0%");
  EXPECT_EQ(percent_text(-0.05), "-5.0%");
  EXPECT_EQ(percent_text(1.25), "125.0%");
}

TEST(CountText, WholeNumbersWithThousands) {
  EXPECT_EQ(count_text(16384), "16,384");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1e6), "1,000,000");
  EXPECT_EQ(count_text(-0.4), "0");
  EXPECT_EQ(count_text(-1000), "-1,000");
}

}  // namespace
}  // namespace stepcast
