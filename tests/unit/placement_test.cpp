#include "simulator/cluster/placement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/base/error.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

using testing::ElementsAre;
using enum RankDimension;
using Dimensions = std::vector<RankDimension>;

Placement placed(std::string_view order, Degrees degrees) { return {parse_rank_order(order), degrees}; }

// Megatron-LM's own example of 16 ranks, tensor 2, pipeline 4, data 2 (parallel_state.py, initialize_model_parallel):
// tensor groups [0,1] [2,3] ..., data groups [0,2] [1,3] [4,6] ..., pipeline groups [0,4,8,12] [1,5,9,13] ...
TEST(Placement, MegatronsExample) {
  const Placement megatron = placed("megatron", {2, 1, 1, 2, 4});
  EXPECT_EQ(megatron.ranks(), 16);
  EXPECT_THAT(megatron.members(3, Dimensions{tensor}), ElementsAre(2, 3));
  EXPECT_THAT(megatron.members(6, Dimensions{data}), ElementsAre(4, 6));
  EXPECT_THAT(megatron.members(9, Dimensions{pipeline}), ElementsAre(1, 5, 9, 13));
  EXPECT_THAT(megatron.first_ranks(Dimensions{pipeline}), ElementsAre(0, 1, 2, 3));
}

// 16 ranks of two stages, expert parallel 4 with expert tensor parallel 1: two replicas of each expert.
TEST(Placement, ExpertsHaveAGridOfTheirOwn) {
  const Placement experts = placed("megatron", {1, 1, 4, 2, 2});
  EXPECT_THAT(experts.members(5, Dimensions{expert}), ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(experts.members(5, Dimensions{data}), ElementsAre(1, 5));
}

TEST(Placement, StridesFollowTheOrder) {
  const Degrees degrees{8, 2, 1, 16, 4};
  const Placement megatron = placed("megatron", degrees);
  EXPECT_EQ(megatron.stride(tensor), 1);
  EXPECT_EQ(megatron.stride(data), 16);
  EXPECT_EQ(megatron.stride(pipeline), 256);
  // Llama 3: pipelines inside.
  const Placement llama = placed("tp-cp-pp-dp", degrees);
  EXPECT_EQ(llama.stride(pipeline), 16);
  EXPECT_EQ(llama.stride(data), 64);
  EXPECT_EQ(placed("torchtitan", degrees).stride(pipeline), megatron.stride(pipeline));
}

// Every rank is in one group of a kind, whatever the order.
TEST(Placement, GroupsShareOutTheRanks) {
  for (const char* order : {"tp-cp-ep-dp-pp", "pp-dp-cp-tp", "dp-tp-pp-cp", "cp-pp-tp-dp"}) {
    const Placement placement = placed(order, {2, 3, 1, 4, 5});
    for (const Dimensions& along : {Dimensions{tensor}, Dimensions{context, data}, Dimensions{pipeline, tensor}}) {
      std::vector<std::int64_t> all;
      for (const std::int64_t first : placement.first_ranks(along)) {
        const auto members = placement.members(first, along);
        EXPECT_EQ(members.front(), first);
        EXPECT_EQ(placement.members(members.back(), along), members);
        all.insert(all.end(), members.begin(), members.end());
      }
      std::sort(all.begin(), all.end());
      ASSERT_EQ(all.size(), 120u);
      for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<std::int64_t>(i));
    }
  }
}

// The shape is what counting the members of the first domain gives.
TEST(Placement, ShapesCountTheMembersOfADomain) {
  const Cluster cluster = fixtures::ideal_cluster(256);
  for (const char* order : {"tp-cp-ep-dp-pp", "pp-dp-cp-tp", "dp-tp-pp-cp", "tp-pp-dp-cp"}) {
    const Placement placement = placed(order, {4, 2, 1, 8, 4});
    for (const Dimensions& along :
         {Dimensions{tensor}, Dimensions{context, data}, Dimensions{data}, Dimensions{pipeline, tensor}}) {
      const auto members = placement.members(0, along);
      const GroupShape shape = placement.shape(cluster, along);
      EXPECT_EQ(shape.ranks, static_cast<std::int64_t>(members.size())) << order;
      EXPECT_EQ(shape.per_domain, std::count_if(members.begin(), members.end(), [](auto rank) { return rank < 8; }))
          << order;
    }
  }
}

TEST(Placement, SaysWhatIsWrong) {
  EXPECT_THROW(parse_rank_order("tp-tp"), UserError);
  EXPECT_THROW(parse_rank_order("tp-xp"), UserError);
  EXPECT_THROW(placed("tp-dp", {2, 1, 1, 2, 2}), UserError);  // pipelines left out
  EXPECT_NO_THROW(placed("tp-dp", {2, 1, 1, 2, 1}));
}

}  // namespace
}  // namespace stepcast
