// Whole answers: what they promise, against budgets, published runs and each other.

#include "simulator/budget/answer.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <rapidcheck/gtest.h>

#include "simulator/base/error.hpp"
#include "simulator/budget/answer_formats.hpp"
#include "simulator/input/question_reader.hpp"

namespace stepcast {
namespace {

Question asked(const std::string& text) {
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() /
      fmt::format("stepcast-plan-{}.yaml", testing::UnitTest::GetInstance()->random_seed() + getpid());
  std::ofstream(file) << text;
  struct Removed {
    const std::filesystem::path& file;
    ~Removed() { std::filesystem::remove(file); }
  } removed{file};
  Question question = load_question(file.string()).question;
  question.trials = 200;
  return question;
}

constexpr const char* cluster = R"(
cluster: {node: dgx-h100, nodes: 16, fabric: ndr400x8}
training: {sequence_length: 4096, batch_tokens: 2097152}
compare_laws: [besiroglu]
)";

const ClusterAnswer& best(const Answer& answer) { return answer.clusters[answer.best]; }

TEST(Answer, SpendsTheBudgetOfEachKind) {
  const ClusterAnswer days = best(answer(asked(std::string("budget: {days: 20}\nprice: 2 USD/GPU-hour\n") + cluster)));
  ASSERT_EQ(days.problem, "");
  EXPECT_NEAR(days.campaign.days.mean, 20, 0.1);

  const ClusterAnswer hours = best(answer(asked(std::string("budget: {gpu_hours: 60k}\n") + cluster)));
  EXPECT_NEAR(hours.gpu_hours, 60e3, 300);
  EXPECT_FALSE(hours.dollars());

  const ClusterAnswer dollars =
      best(answer(asked(std::string("budget: {dollars: 120k}\nprice: 2 USD/GPU-hour\n") + cluster)));
  EXPECT_NEAR(*dollars.dollars(), 120e3, 600);
  EXPECT_NEAR(dollars.gpu_hours, hours.gpu_hours, 0.01 * hours.gpu_hours);

  const ClusterAnswer flops = best(answer(asked(std::string("budget: {flops: 1e22}\n") + cluster)));
  EXPECT_NEAR(flops.compute.si(), 1e22, 1e17);

  const ClusterAnswer loss = best(answer(asked(std::string("budget: {loss: 2.1}\n") + cluster)));
  EXPECT_NEAR(*loss.loss, 2.1, 1e-6);
}

// Kaplan's N leaves out the embeddings, which are most of a small model: the loss asked for is that of the law's own N.
TEST(Answer, ReachesTheLossByWhatTheLawCallsN) {
  for (const char* law : {"kaplan", "besiroglu", "muennighoff"}) {
    const ClusterAnswer run = best(answer(asked(fmt::format("budget: {{loss: 3}}\nlaw: {}\n{}", law, cluster))));
    ASSERT_EQ(run.problem, "") << law;
    EXPECT_NEAR(*run.loss, 3, 1e-6) << law;
  }
}

// What is asked for is what is spent, whatever the budget, the cluster and what they cost.
RC_GTEST_PROP(Answer, SpendsWhatThereIs, ()) {
  const double amount = std::exp(0.01 * *rc::gen::inRange(0, 300));  // 1 to 20
  const int nodes = *rc::gen::inRange(1, 17);
  const bool a100 = *rc::gen::arbitrary<bool>();
  const std::string kind = *rc::gen::element<std::string>("days", "gpu_hours", "dollars");
  const double hours = amount * 2 * 24 * nodes * 8;  // two to forty days
  Question question = asked(fmt::format(
      "budget: {{{}: {}}}\ncluster: {{node: {}, nodes: {}, fabric: {}}}\nprice: 3 USD/GPU-hour\n"
      "egress: 10 TB\nstorage_price: {{egress: 0.05 USD/GB}}\ncompare_laws: [besiroglu]\n"
      "training: {{sequence_length: 4096, batch_tokens: 4194304}}\nspace: {{tensor_parallel: [1, 8], zero: [1]}}\n",
      kind,
      kind == "days"      ? 2 * amount
      : kind == "dollars" ? 3 * hours + 500
                          : hours,
      a100 ? "dgx-a100-80gb" : "dgx-h100", nodes, a100 ? "hdr200x8" : "ndr400x8"));
  question.trials = 100;
  const ClusterAnswer run = best(answer(question));
  RC_ASSERT(run.problem == "");
  const double spent = kind == "days" ? run.campaign.days.mean : kind == "dollars" ? *run.dollars() : run.gpu_hours;
  // A planned interruption more or less is a jump of the calendar: a budget that ends at one is not spent to its end.
  const Reliability& reliability = question.clusters[0].reliability;
  const double jump = 1.5 * (reliability.planned_time.value + reliability.restart.value) / run.wall();
  RC_ASSERT(spent / question.budget.amount < 1.0021);
  RC_ASSERT(spent / question.budget.amount > 0.9979 - jump);
}

// A year of 128 GPUs and a node's spare GPUs is paid whatever is trained: half of its price buys no run at all.
TEST(Answer, ABudgetBelowTheReservationIsTooLittle) {
  const std::string price = "price: {reserved: {price: 2 USD/GPU-hour, discount: 0.25, term: 1 year}}\n";
  const double year = 1.5 * 128 * 8766;
  const ClusterAnswer little =
      best(answer(asked(fmt::format("budget: {{dollars: {}}}\n{}{}", year / 2, price, cluster))));
  EXPECT_NE(little.problem.find("less than what any run takes here"), std::string::npos) << little.problem;
  EXPECT_NE(little.problem.find("reserved beyond the run"), std::string::npos) << little.problem;
  EXPECT_TRUE(little.possible.empty());

  const ClusterAnswer free =
      best(answer(asked(std::string("budget: {dollars: 1M}\nprice: 0 USD/GPU-hour\n") + cluster)));
  EXPECT_NE(free.problem.find("dollars do not bound"), std::string::npos) << free.problem;
}

// Where spending goes in steps of a term, the last term is used as far as it goes and no further one begun.
TEST(Answer, TermsOfAReservationAreNotOverspent) {
  const ClusterAnswer run = best(answer(asked(
      std::string("budget: {dollars: 150k}\nprice: {reserved: {price: 2 USD/GPU-hour, discount: 0, term: 10 days}}\n") +
      cluster)));
  ASSERT_EQ(run.problem, "");
  const double term = 2.0 * 240 * static_cast<double>(run.gpus_held);
  EXPECT_NEAR(*run.dollars() / term, 2, 0.01);  // of 150,000: two terms, 130,560 with the spare node
  EXPECT_LE(*run.dollars(), 150e3);
  EXPECT_GT(run.campaign.days.mean, 19);
}

// By a law without a loss the most compute is best, not what is cheapest by a thousandth.
TEST(Answer, ALawWithoutLossPrefersTheClusterThatTrainsMore) {
  const Answer result = answer(asked(R"(
law: llama3
budget: {dollars: 100k}
compare_laws: [llama3]
training: {sequence_length: 4096, batch_tokens: 2M}
clusters:
  - {name: dear, cluster: {node: dgx-h100, nodes: 8, fabric: ndr400x8}, price: 8 USD/GPU-hour}
  - {name: cheap, cluster: {node: dgx-h100, nodes: 8, fabric: ndr400x8}, price: 2 USD/GPU-hour}
  - {name: dearer, cluster: {node: dgx-h100, nodes: 8, fabric: ndr400x8}, price: 9 USD/GPU-hour}
)"));
  EXPECT_EQ(best(result).name, "cheap");
  EXPECT_GT(best(result).compute / result.clusters[0].compute, 3.5);
}

// The calendar's interval by failures contains its mean as printed; that of the step is as wide as the step's own.
TEST(Answer, TheCalendarSaysHowFarTheStepMayBeOff) {
  const Answer result = answer(asked(std::string("budget: {flops: 1e22}\n") + cluster));
  const ClusterAnswer& run = best(result);
  ASSERT_TRUE(run.days_of_step_interval);
  const auto& interval = *run.pace.main().report.interval;
  const auto [low, high] = *run.days_of_step_interval;
  EXPECT_LT(low, run.campaign.days.mean);
  EXPECT_NEAR(high / run.campaign.days.mean, interval.second / run.pace.main().report.step_time, 0.02);
  for (const WhatIf& line : result.what_if) {
    if (line.change != "steps as slow as the interval's end") continue;
    EXPECT_NEAR(line.days, high, 0.02 * high);
  }
}

// The same run asked for from its two ends.
TEST(Answer, DaysOfAComputeBudgetBuyThatCompute) {
  const ClusterAnswer there = best(answer(asked(std::string("budget: {flops: 2e22}\n") + cluster)));
  const ClusterAnswer back =
      best(answer(asked(fmt::format("budget: {{days: {}}}\n{}", there.campaign.days.mean, cluster))));
  EXPECT_NEAR(back.compute / there.compute, 1, 0.01);
  EXPECT_NEAR(back.parameters / there.parameters, 1, 0.04);
}

TEST(Answer, PartsOfTheCalendarSumToIt) {
  const ClusterAnswer run = best(answer(asked(std::string("budget: {flops: 2e22}\n") + cluster)));
  EXPECT_NEAR(run.campaign.time.total().si(), run.campaign.days.mean * 86400, 1);
  EXPECT_NEAR(run.campaign.time.productive.si(), run.pace.productive().si(), run.pace.main().report.step_time.si());
  EXPECT_NEAR(run.gpu_hours, run.campaign.days.mean * 24 * static_cast<double>(run.gpus_held), 1e-6);
}

TEST(Answer, NothingThatMakesTrainingHarderMakesItQuicker) {
  const Answer result = answer(asked(std::string("budget: {flops: 2e22}\n") + cluster));
  const double days = best(result).campaign.days.mean;
  for (const WhatIf& line : result.what_if) {
    if (line.change.find("failures twice") == 0 || line.change.find("training waits") == 0) {
      EXPECT_GE(line.days, days) << line.change;
    }
    if (line.change == "no failures" || line.change == "twice the GPUs") {
      EXPECT_LT(line.days, days) << line.change;
    }
  }
  EXPECT_GT(result.what_if.size(), 6U);
}

// One GPU for a model of a trillion parameters.
TEST(Answer, SaysWhatIsPossibleInsteadOfTheImpossible) {
  const Answer result = answer(asked(R"(
model: gpt-1t
tokens: 450B
cluster: {gpu: h100-80gb-sxm, gpus: 1, gpus_per_node: 1, fabric: ndr400x8}
training: {sequence_length: 2048, batch_tokens: 6M}
)"));
  const ClusterAnswer& run = best(result);
  EXPECT_NE(run.problem.find("does not fit in memory"), std::string::npos) << run.problem;
  ASSERT_FALSE(run.possible.empty());
  EXPECT_NE(run.possible[0].find("GPUs"), std::string::npos);

  // The same without a network: 16 bytes a parameter (Rajbhandari et al. 2020) of 1.008e12 fill 188 to 190 GPUs of 80 GiB
  // or 80 GB.
  const ClusterAnswer alone = best(answer(asked(R"(
model: gpt-1t
tokens: 450B
cluster: {node: dgx-h100, nodes: 1, gpus_per_node: 1}
training: {sequence_length: 2048, batch_tokens: 6M}
)")));
  EXPECT_NE(alone.problem.find("(12: does not fit in memory"), std::string::npos) << alone.problem;
  ASSERT_EQ(alone.possible.size(), 2U);
  EXPECT_NE(alone.possible[0].find("fill 190 of these"), std::string::npos) << alone.possible[0];
  EXPECT_NE(alone.possible[1].find("parameters on this GPU"), std::string::npos) << alone.possible[1];
}

// A budget of a millionth of a model, and one of more than there can be, are answers and not errors of the file.
TEST(Answer, BudgetsWithoutAModelSayWhatWouldDo) {
  const ClusterAnswer tiny = best(answer(asked(std::string("budget: {flops: 1e14}\n") + cluster)));
  EXPECT_NE(tiny.problem.find("it asks for a model of"), std::string::npos) << tiny.problem;
  ASSERT_EQ(tiny.possible.size(), 1U);
  EXPECT_NE(tiny.possible[0].find("FLOPs"), std::string::npos);
  const ClusterAnswer huge = best(answer(asked(std::string("budget: {gpu_hours: 1e15}\n") + cluster)));
  EXPECT_NE(huge.problem, "");
  // 8.03e9 parameters at the peak of 128 H100s, 989.4e12 FLOP/s: 1e8 days would be 2.7e5 years; nothing is simulated.
  const ClusterAnswer endless = best(answer(asked(std::string("budget: {days: 1e8}\nmodel: llama3.1-8b\n") + cluster)));
  EXPECT_NE(endless.problem.find("years on 128 GPUs"), std::string::npos) << endless.problem;
}

// What no number of GPUs mends is not answered with another number of GPUs.
TEST(Answer, StorageThatNeverReadsItsCheckpointIsNotMendedByGpus) {
  const ClusterAnswer run = best(
      answer(asked(std::string("budget: {flops: 1e22}\ncheckpoint: {write: 1 B/s, mode: synchronous}\n") + cluster)));
  EXPECT_NE(run.problem.find("never ends"), std::string::npos) << run.problem;
  EXPECT_EQ(run.problem.find("on 0 GPUs"), std::string::npos) << run.problem;
  EXPECT_TRUE(run.possible.empty()) << run.possible[0];
}

TEST(Answer, LessThanAStepIsNoRun) {
  const ClusterAnswer run = best(answer(asked(R"(
budget: {flops: 1e18}
cluster: {node: dgx-h100, nodes: 2, fabric: ndr400x8}
training: {sequence_length: 4096, batch_tokens: 4B}
)")));
  EXPECT_NE(run.problem.find("less than one step"), std::string::npos) << run.problem;
}

TEST(Answer, AFixedModelGetsTheTokensThatTheBudgetBuys) {
  const ClusterAnswer run = best(answer(asked(std::string("budget: {flops: 1e22}\nmodel: llama3.1-8b\n") + cluster)));
  EXPECT_NEAR(run.tokens, 1e22 / (6 * run.active_parameters), 1e6);
  EXPECT_EQ(run.model.layers, 32);
}

// Narayanan et al. 2021 (arXiv 2104.04473, sec. 5.1): 175 billion parameters on 300 billion tokens take 34 days of 1,024
// A100s at 140 TFLOP/s. Its plan has no sequence parallelism; ours may have, and failures come on top.
TEST(Answer, Gpt3OnA100sTakesAMonth) {
  const ClusterAnswer run = best(answer(asked(R"(
model: gpt3-175b
tokens: 300B
cluster: {node: dgx-a100-80gb, nodes: 128, fabric: hdr200x8}
framework: megatron-lm-2021
space: {tensor_parallel: [8], pipeline_parallel: [8, 12, 16], virtual_stages: [1, 2, 3], microbatch: [1], recompute: [full]}
training: {sequence_length: 2048, batch_tokens: 3145728}
compare_laws: [besiroglu]
)")));
  ASSERT_EQ(run.problem, "");
  EXPECT_NEAR(run.campaign.days.mean, 34, 3.5);
}

TEST(AnswerFormats, SayTheSame) {
  const Answer result = answer(asked(std::string("name: A <test> & more\nbudget: {flops: 1e22}\n") + cluster));
  const nlohmann::json json = nlohmann::json::parse(answer_json(result, {}));
  EXPECT_DOUBLE_EQ(json["clusters"][0]["tokens"], best(result).tokens);
  EXPECT_DOUBLE_EQ(json["clusters"][0]["calendar"]["days"]["mean"], best(result).campaign.days.mean);
  EXPECT_NE(answer_html(result, {}).find("A &lt;test&gt; &amp; more"), std::string::npos);
  const std::string csv = answer_csv(result, {});
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 2);
  for (const AnswerForm& form : answer_forms()) EXPECT_FALSE(form.write(result, {}).empty());
}

TEST(AnswerWords, RoundIntoTheNextScale) {
  EXPECT_EQ(size_text(7.226e10), "72.3 billion");
  EXPECT_EQ(size_text(999.9e9), "1.00 trillion");
  EXPECT_EQ(short_size_text(4194304), "4.19 M");
  EXPECT_EQ(compute_text(Flops(5.76e23)), "5.76e23 FLOPs");
  EXPECT_EQ(days_text(0.01), "14.4 minutes");
  EXPECT_EQ(days_text(1e-5), "864 ms");
  EXPECT_EQ(days_range_text(14.06, 14.01, 14.07), "14.06 days (14.01 to 14.07");
  EXPECT_EQ(days_range_text(0.01, 0.009972, 0.0101), "14.40 minutes (14.36 to 14.54");
}

// --- bad input ---------------------------------------------------------------------------------------------------

std::string refusal(const std::string& text) {
  try {
    asked(text);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(QuestionReader, RefusesWhatMakesNoSense) {
  const std::string c = cluster;
  EXPECT_NE(refusal("budget: {flops: -1}\n" + c).find("above zero"), std::string::npos);
  EXPECT_NE(refusal("budget: {flops: 1e40}\n" + c).find("1e33"), std::string::npos);
  EXPECT_NE(refusal("budget: {flops: nan}\n" + c).find("above zero"), std::string::npos);
  EXPECT_NE(refusal("budget: {flops: 1e22, days: 3}\n" + c).find("one kind"), std::string::npos);
  EXPECT_NE(refusal("budget: {day: 3}\n" + c).find("did you mean 'days'"), std::string::npos);
  EXPECT_NE(refusal("budget: {dollars: 1M}\n" + c).find("price"), std::string::npos);
  EXPECT_NE(refusal("budget: {loss: 2}\nlaw: llama3\n" + c).find("not what the loss is"), std::string::npos);
  EXPECT_NE(refusal("budget: {days: 3}\nmodel: llama3-8b\ntokens: 1T\n" + c).find("leave one"), std::string::npos);
  EXPECT_NE(refusal(c).find("nothing to plan with"), std::string::npos);
  EXPECT_NE(refusal("budget: {days: 3}\n").find("cluster"), std::string::npos);
  EXPECT_NE(refusal("budget: {days: 3}\nshape: lama3\n" + c).find("did you mean 'llama3'"), std::string::npos);
  EXPECT_NE(refusal("budget: {days: 3}\nreliability: lama3-16k-h100\n" + c).find("did you mean"), std::string::npos);
  EXPECT_NE(refusal("budget: {days: 3}\nspace: {tensor_paralel: [1]}\n" + c).find("did you mean"), std::string::npos);
  EXPECT_NE(refusal("budget: {days: 3}\nplan: {global_batch: 8}\n" + c).find("follows from"), std::string::npos);
}

// Nobody asked for a batch: the default one holds a sequence.
TEST(QuestionReader, TheUsualBatchHoldsASequence) {
  const Question question = asked(R"(
budget: {flops: 1e19}
cluster: {node: dgx-h100, nodes: 2, fabric: ndr400x8}
training: {sequence_length: 1048576}
)");
  EXPECT_EQ(question.recipe[0].batch_tokens, 1048576);
}

// A law that is compared with has as much text as the one that decides.
TEST(QuestionReader, ScarceTextIsScarceByEveryLawThatCountsIt) {
  const Question question = asked(
      "unique_tokens: 50B\nbudget: {flops: 1e23}\ncluster: {node: dgx-h100, nodes: 2, "
      "fabric: ndr400x8}\ncompare_laws: [muennighoff, hoffmann-approach-3, llama3]\n");
  EXPECT_EQ(question.other_laws[0].unique_tokens, 50e9);
  EXPECT_EQ(question.other_laws[1].unique_tokens, 50e9);
  EXPECT_FALSE(question.other_laws[2].unique_tokens);
}

TEST(QuestionReader, PhasesHaveOneThatTakesWhatIsLeft) {
  const std::string head =
      "budget: {days: 3}\ncluster: {node: dgx-h100, nodes: 2, fabric: ndr400x8}\ntraining:\n"
      "  batch_tokens: 1M\n  phases:\n";
  EXPECT_NE(refusal(head + "    - {until: 1B}\n").find("takes what is left"), std::string::npos);
  EXPECT_NE(refusal(head + "    - {}\n    - {}\n").find("one phase"), std::string::npos);
  EXPECT_NE(refusal(head + "    - {until: 2B}\n    - {until: 1B}\n    - {}\n").find("already"), std::string::npos);
  EXPECT_EQ(refusal(head + "    - {until: 1B}\n    - {}\n    - {last: 1B, sequence_length: 32768}\n"), "");
}

TEST(QuestionReader, KeysOfAClusterMayStandAtTheTop) {
  const Question question = asked(R"(
budget: {days: 10}
reliability: meta-rsc-1
spare_nodes: 3
clusters:
  - {name: a, cluster: {node: dgx-h100, nodes: 4, fabric: ndr400x8}}
  - {name: b, cluster: {node: dgx-a100-80gb, nodes: 4, fabric: hdr200x8}, spare_nodes: 1}
)");
  ASSERT_EQ(question.clusters.size(), 2U);
  EXPECT_EQ(question.clusters[0].spare_nodes, 3);
  EXPECT_EQ(question.clusters[1].spare_nodes, 1);
  EXPECT_EQ(question.clusters[1].reliability.name, question.clusters[0].reliability.name);
  EXPECT_EQ(question.clusters[1].name, "b");
}

}  // namespace
}  // namespace stepcast
