// `stepcast collective` and `stepcast topology` as a user runs them.

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/program.hpp"

namespace stepcast {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string result(const std::string& arguments) {
  const Outcome outcome = run(arguments);
  EXPECT_EQ(outcome.exit, 0) << arguments;
  return outcome.out;
}

double first_time_ns(const std::string& arguments) {
  return json::parse(result(arguments + " --format json"))["rows"][0]["time_s"].get<double>() * 1e9;
}

// ASTRA-sim 2.x, 1 GiB ring all_reduce, links of 50 GiB/s and 500 ns, end points of 10 ns, memory of 1,600 GB/s. Its
// clock counts whole nanoseconds.
struct AstraCase {
  const char* name;
  const char* topology;
  int ranks, chunks;
  double expected_ns;
};
class AstraRing : public testing::TestWithParam<AstraCase> {};

TEST_P(AstraRing, IsReproducedToTheNanosecond) {
  const AstraCase& c = GetParam();
  const std::string command = std::string("collective all_reduce --topology ") + c.topology + " --ranks " +
                              std::to_string(c.ranks) + " --chunks " + std::to_string(c.chunks) +
                              " --bandwidth '50 GiB/s' --latency '500 ns' --reduce-bandwidth '1600 GB/s'"
                              " --endpoint-delay '10 ns' --grain '1 ns' --sizes 1GiB";
  for (const char* executor : {"dataflow", "events"})
    EXPECT_NEAR(first_time_ns(command + " --executor " + executor), c.expected_ns, 0.5) << executor;
}

INSTANTIATE_TEST_SUITE_P(DesOracles, AstraRing,
                         testing::Values(AstraCase{"ring_8", "ring", 8, 1, 36'768'756},
                                         AstraCase{"ring_64", "ring", 64, 1, 41'420'935},
                                         AstraCase{"ring_64_in_4_chunks", "ring", 64, 4, 41'613'556},
                                         AstraCase{"ring_1024", "ring", 1024, 1, 43'014'091},
                                         AstraCase{"switch_8", "switch", 8, 1, 36'775'756},
                                         AstraCase{"switch_256", "switch", 256, 1, 42'363'925}),
                         [](const auto& c) { return std::string(c.param.name); });

// SimGrid 3.32, CM02: links of 500 ns and 50e9 B/s up and down; its fat tree has four.
TEST(CollectiveCommand, AgreesWithSimGrid) {
  const std::string command =
      "collective all_reduce --bandwidth '50 GB/s' --latency '500 ns' --sizes 1GiB --ranks 64 --topology ";
  EXPECT_NEAR(first_time_ns(command + "switch"), 0.042404584e9, 1e-4 * 0.0424e9);
  EXPECT_NEAR(first_time_ns(command + "fat-tree"), 0.042530584e9, 1e-4 * 0.0425e9);
}

// ASTRA-sim's congestion-unaware engine gives each of the 1,023 messages the whole link: 20.6 us. The sender's own link
// needs 1023/1024 GiB / 50 GiB/s = 19.98 ms.
TEST(CollectiveCommand, AllToAllIsLimitedByInjection) {
  EXPECT_NEAR(
      first_time_ns("collective all_to_all --topology switch --ranks 1024 --bandwidth '50 GiB/s' --latency '500 ns'"
                    " --sizes 1GiB"),
      19.98e6, 0.01e6);
}

TEST(CollectiveCommand, FoldedIsFull) {
  const std::string command =
      "collective reduce_scatter --topology ring --ranks 32 --bandwidth '50 GB/s' --latency '1 us'"
      " --sizes 64MiB --executor events --fold ";
  EXPECT_EQ(first_time_ns(command + "on"), first_time_ns(command + "off"));
}

TEST(CollectiveCommand, PrintsTheTableOfNcclTests) {
  const std::string table = result("collective all_reduce --node dgx-h100 --nodes 1 --sizes 1MiB:4MiB");
  EXPECT_THAT(table, HasSubstr("# all_reduce, 8 ranks on one NVLink domain of dgx-h100\n"));
  EXPECT_THAT(table, HasSubstr("algbw    busbw\n"));
  EXPECT_THAT(table, HasSubstr("      1048576        262144   float              ring      LL"));
  EXPECT_THAT(table, HasSubstr("      4194304       1048576   float              nvls  Simple"));
  EXPECT_THAT(table, HasSubstr("# Avg bus bandwidth    : "));
}

TEST(CollectiveCommand, EveryFormatAndOperationAnswers) {
  for (const char* operation : {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce",
                                "scatter", "gather", "send_recv"}) {
    const json table = json::parse(result(std::string("collective ") + operation +
                                          " --cluster dgx-h100-superpod --ranks 0-15 --sizes 1KiB:1GiB --format json"));
    EXPECT_EQ(table["operation"], operation);
    EXPECT_EQ(table["rows"].size(), 21u);
    for (const json& row : table["rows"]) EXPECT_GT(row["time_s"], 0.0);
  }
  EXPECT_THAT(result("collective all_reduce --cluster tpu-v4-pod --ranks 0-7 --sizes '1 MiB' --format csv"),
              HasSubstr("all_reduce,1048576,profile,-,"));
}

// Eight GPUs of one node and eight of the next. The messages follow one another step by step, where NCCL overlaps: a phase
// inside the node costs its time (PXN: 7/8 GiB over NVLink before the NICs begin, a fifth of the whole).
TEST(CollectiveCommand, SendsEveryMessageOverTheClustersLinks) {
  for (const char* operation : {"all_reduce --algorithm ring", "all_gather --algorithm hierarchical",
                                "all_to_all --algorithm pxn", "all_to_all --algorithm pairwise"}) {
    const std::string command =
        std::string("collective ") + operation + " --cluster dgx-h100-superpod --ranks 0-15 --sizes 1GiB";
    const double wires = first_time_ns(command + " --executor events");
    const double nccl = first_time_ns(command);
    EXPECT_LT(wires, 1.3 * nccl) << operation;
    EXPECT_GT(wires, 0.8 * nccl) << operation;
  }
}

TEST(TopologyCommand, PrintsTiersAndWhatAGroupGets) {
  const std::string text = result("topology dgx-h100-superpod --nodes 16 --group data_parallel --size 16");
  EXPECT_THAT(text,
              HasSubstr("dgx-h100-superpod: 16 nodes of dgx-h100, 128 GPUs, ndr400x8 (nvswitch, rail-optimised)"));
  EXPECT_THAT(text, HasSubstr("leaf - spine"));
  EXPECT_THAT(text, HasSubstr("bisection  3.20 TB/s"));  // 64 GPUs x 50 GB/s
  EXPECT_THAT(text, HasSubstr("50.0 GB/s a ring, held back at pcie-nic"));
  const json tree = json::parse(result("topology gb200-nvl72-576 --ranks 0-71 --format json"));
  EXPECT_EQ(tree["tiers"]["gpu"], 576);
  EXPECT_EQ(tree["group"]["alone"]["most_hops"], 2);
  // Llama 3's order has pipelines inside: stages are next-door nodes, and no flow of theirs sees the 1:7 above the pods.
  const std::string llama =
      "topology meta-24k-roce --nodes 768 --group pipeline_parallel --degrees tp=8,pp=16 --format json";
  const auto slowest = [](const std::string& output) {
    return json::parse(output)["group"]["together"]["slowest_network_flow_bytes_per_s"].get<double>();
  };
  EXPECT_GT(slowest(result(llama + " --order tp-cp-pp-dp")), 2 * slowest(result(llama)));
  EXPECT_THAT(result("topology dgx-h100-superpod --nodes 2 --format dot"), testing::StartsWith("graph topology {"));
  EXPECT_THAT(result("topology perlmutter --nodes 128 --group data_parallel"), HasSubstr("router - router"));
}

struct BadCommand {
  const char* name;
  const char* arguments;
  const char* expected;
};
class BadCollective : public testing::TestWithParam<BadCommand> {};

TEST_P(BadCollective, IsRefusedWithAReason) {
  const Outcome outcome = run(GetParam().arguments);
  EXPECT_EQ(outcome.exit, 2);
  EXPECT_THAT(outcome.err, HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    WrongInput, BadCollective,
    testing::Values(
        BadCommand{"no_operation", "collective", "name an operation"},
        BadCommand{"operation", "collective all_reduces --cluster selene", "did you mean 'all_reduce'"},
        BadCommand{"no_cluster", "collective all_reduce", "name a cluster"},
        BadCommand{"cluster", "collective all_reduce --cluster selen", "did you mean 'selene'"},
        BadCommand{"both",
                   "collective all_reduce --cluster selene --topology ring --ranks 8 --bandwidth '1 GB/s'"
                   " --latency '1 us'",
                   "not both"},
        BadCommand{"rank_beyond", "collective all_reduce --cluster selene --ranks 0-4480",
                   "beyond the cluster's 4480 GPUs"},
        BadCommand{"rank_twice", "collective all_reduce --cluster selene --ranks 0-7,7", "named twice"},
        BadCommand{"rank_text", "collective all_reduce --cluster selene --ranks eight", "0-63"},
        BadCommand{"size", "collective all_reduce --cluster selene --sizes 4", "a number with a unit"},
        BadCommand{"sizes_backwards", "collective all_reduce --cluster selene --sizes 2MiB:1MiB", "backwards"},
        BadCommand{"endless_sizes", "collective all_reduce --cluster selene --sizes 1e-300B:1GB", "from 1 B"},
        BadCommand{"algorithm", "collective all_reduce --cluster selene --algorithm rnig", "did you mean 'ring'"},
        BadCommand{"not_offered", "collective all_gather --cluster selene --algorithm tree",
                   "no algorithm for all_gather"},
        BadCommand{"zero_bandwidth",
                   "collective all_reduce --topology ring --ranks 8 --bandwidth '0 GB/s' --latency '1 us'",
                   "above zero"},
        BadCommand{"many_ranks",
                   "collective all_reduce --topology ring --ranks 99999999999 --bandwidth '1 GB/s'"
                   " --latency '1 us'",
                   "2 to 1000000"},
        BadCommand{"ring_of_pairs",
                   "collective all_to_all --topology ring --ranks 8 --bandwidth '1 GB/s' --latency '1 us'", "switch"},
        BadCommand{"uneven_domains", "collective all_reduce --cluster selene --ranks 0-10 --executor events",
                   "as many ranks in every NVLink domain"},
        BadCommand{"too_many_messages", "collective all_reduce --cluster selene --executor events --algorithm ring",
                   "ask for fewer ranks"},
        BadCommand{"ten_million_nodes", "topology selene --nodes 10000000", "fit in memory"},
        BadCommand{"size_without_group", "topology selene --nodes 4 --size 8", "name one"},
        BadCommand{"group_name", "topology selene --nodes 4 --group tensor", "did you mean"},
        BadCommand{"degree_name", "topology selene --nodes 4 --group data_parallel --degrees pt=8", "unknown degree"},
        BadCommand{"degrees", "topology selene --nodes 4 --group data_parallel --degrees tp=8,pp=3", "do not divide"},
        BadCommand{"degrees_zero", "topology selene --nodes 4 --group data_parallel --degrees tp=0", "from 1 to 32"},
        BadCommand{"order", "topology selene --nodes 4 --group data_parallel --degrees tp=8,pp=2 --order tp-dp",
                   "leaves out pp"},
        BadCommand{"group_that_does_not_divide", "topology selene --nodes 4 --group tensor_parallel --size 5",
                   "divide"},
        BadCommand{"no_drawing", "topology selene --format dot", "ask for fewer nodes"}),
    [](const auto& c) { return std::string(c.param.name); });

}  // namespace
}  // namespace stepcast
