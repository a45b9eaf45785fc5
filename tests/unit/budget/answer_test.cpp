// Whole answers: what they promise, against budgets, published runs and each other.

#include "simulator/budget/answer.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

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
  EXPECT_NEAR(*loss.loss, 2.1, 0.0005);  // the model that can be built is within 2% of the wanted one
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
