/// The one page that a person reads.

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "simulator/base/text_table.hpp"
#include "simulator/budget/answer_formats.hpp"
#include "simulator/report/page.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

std::string loss_text(double loss) { return fmt::format("{:.4f}", loss); }

std::string energy_text(Joules energy) {
  return energy.si() < 3.6e9 ? to_text(energy) : number_text(energy.si() / 3.6e9) + " MWh";
}

std::string parameters_text(const ClusterAnswer& run) {
  std::string text = size_text(run.parameters) + " parameters";
  if (run.active_parameters < 0.999 * run.parameters) text += ", " + size_text(run.active_parameters) + " active";
  return text;
}

/// Below the fitted runs as above them to two digits.
std::string times_text(double factor) {
  if (factor >= 1e6) return fmt::format("{:.1e} x", factor);
  const double unit = factor < 100 ? 1 : std::pow(10.0, std::floor(std::log10(factor)) - 1);
  return number_text(factor < 100 ? factor : std::round(factor / unit) * unit, 2) + " x";
}

std::string step_text(const PacedPhase& phase) {
  const Report& report = phase.report;
  std::string text = to_text(report.step_time);
  if (report.interval)
    text += fmt::format(" ({} to {}, 90%)", to_text(report.interval->first), to_text(report.interval->second));
  return text + fmt::format(", MFU {}, {} GiB of {}", percent_text(report.mfu),
                            number_text(report.memory.peak().si() / 0x1p30),
                            number_text(report.memory.capacity.si() / 0x1p30));
}

std::string phases_text(const ClusterAnswer& run) {
  TextTable table({{"tokens", Align::right},
                   {"sequence", Align::right},
                   {"batch", Align::right},
                   {"steps", Align::right},
                   {"step", Align::right},
                   {"MFU", Align::right},
                   {"days", Align::right},
                   {"plan"}});
  for (const PacedPhase& phase : run.pace.phases) {
    table.add_row({short_size_text(phase.phase.tokens), count_text(static_cast<double>(phase.phase.sequence_length)),
                   short_size_text(phase.batch_tokens), count_text(std::ceil(phase.steps())),
                   to_text(phase.report.step_time), percent_text(phase.report.mfu),
                   number_text(phase.time().si() / 86400), plan_text(phase.job.plan)});
  }
  return indented(table.to_string());
}

std::string answer_of(const ClusterAnswer& run, const Answer& all, const Paint& paint) {
  std::string page = title(paint, "The run on " + run.name);
  if (!run.problem.empty()) {
    page += labelled("impossible", run.problem);
    for (const std::string& instead : run.possible) page += labelled("possible", instead);
    return page;
  }
  page += labelled("model", paint.strong(parameters_text(run)) + ": " + shape_text(run.model));
  page += labelled("tokens", fmt::format("{}, {} a parameter", size_text(run.tokens),
                                         number_text(run.tokens / run.active_parameters)));
  if (run.repeated && run.tokens > run.repeated->unique) {
    page +=
        labelled("", fmt::format("{} unique, read {} times: as good as {} new ones", size_text(run.repeated->unique),
                                 number_text(run.tokens / run.repeated->unique), size_text(run.repeated->worth_new)));
  }
  if (run.loss) page += labelled("loss", fmt::format("{} nats a token by {}", loss_text(*run.loss), all.law));
  page += labelled("compute", fmt::format("{} as 6 N D, {} with attention", compute_text(run.compute),
                                          compute_text(run.compute_with_attention)));
  const PacedPhase& main = run.pace.main();
  page += labelled("GPUs", run.gpus_held > run.gpus
                               ? fmt::format("{} and {} spare", count_text(static_cast<double>(run.gpus)),
                                             count_text(static_cast<double>(run.gpus_held - run.gpus)))
                               : count_text(static_cast<double>(run.gpus)));
  page += labelled("plan", plan_text(main.job.plan));
  page += labelled("step", step_text(main));
  const CampaignOutcome& campaign = run.campaign;
  page += labelled("calendar", fmt::format("{}, 80% by failures), goodput {}",
                                           days_range_text(campaign.days.mean, campaign.days.p10, campaign.days.p90),
                                           percent_text(campaign.goodput)));
  if (const auto& ends = run.days_of_step_interval) {
    page += labelled("", fmt::format("{} to {}, as the step's interval has it, 90%", days_text(ends->first),
                                     days_text(ends->second)));
  }
  page += labelled("GPU-hours", gpu_hours_text(run.gpu_hours));
  if (const auto dollars = run.dollars()) {
    std::string parts;
    for (const Bill::Part& part : run.bill->parts) {
      parts += (parts.empty() ? "" : ", ") + part.name + " " + dollars_text(part.amount.usd());
    }
    page += labelled("cost", paint.strong(dollars_text(*dollars)) + " (" + parts + ")");
  }
  page += labelled("energy",
                   fmt::format("{} at the meter ({} a GPU in a step)", energy_text(run.energy.facility),
                               to_text(run.power_per_gpu)) +
                       (run.energy.tonnes_co2e > 0 ? fmt::format(", {} t CO2e", number_text(run.energy.tonnes_co2e))
                                                   : std::string()));
  if (run.life) {
    page += labelled("serving",
                     fmt::format("{} more to serve it, {} of training and serving", compute_text(run.life->inference),
                                 percent_text(run.life->inference / run.life->flops())));
    if (run.life->dollars() > 0) {
      page += labelled(
          "", fmt::format("{} to serve it and {} to train it at the prices of `inference`, by which its "
                          "size is chosen",
                          dollars_text(run.life->inference_dollars), dollars_text(run.life->training_dollars)));
    }
  }
  return page;
}

std::string calendar(const ClusterAnswer& run, const Paint& paint) {
  const CampaignOutcome& campaign = run.campaign;
  std::string page = title(paint, "Where the calendar goes");
  TextTable table({{""}, {"", Align::right}, {"", Align::right}, {""}});
  const Seconds total = campaign.time.total();
  for (const CampaignTimePart& part : parts_of_campaign) {
    const Seconds time = campaign.time.*part.time;
    if (time <= Seconds(0)) continue;
    table.add_row({part.label, days_text(time.si() / 86400), percent_text(time / total), bar(time / total, 40)});
  }
  page += indented(table.to_string());
  page += labelled(
      "failures", fmt::format("one every {}; {} expected ({} to {}, 80%)", to_text(campaign.mean_time_between_failures),
                              number_text(campaign.failures.mean), number_text(campaign.failures.p10),
                              number_text(campaign.failures.p90)));
  page += labelled("checkpoint", fmt::format("{} every {}: training stands still for {}, it is safe after {}",
                                             to_text(run.checkpoint.size), to_text(campaign.checkpoint_interval),
                                             to_text(run.checkpoint.stall), to_text(run.checkpoint.write)));
  page += labelled(
      "spare nodes",
      fmt::format("{}, {} recommended; {} in repair on average", count_text(static_cast<double>(campaign.spare_nodes)),
                  count_text(static_cast<double>(campaign.recommended_spares)), number_text(campaign.nodes_in_repair)));
  for (const std::string& remark : campaign.remarks) page += labelled("", remark);
  return page;
}

std::string side_by_side(const Answer& answer, const Paint& paint) {
  if (answer.clusters.size() < 2) return "";
  TextTable table({{"cluster"},
                   {"GPUs", Align::right},
                   {"model", Align::right},
                   {"tokens", Align::right},
                   {"loss", Align::right},
                   {"MFU", Align::right},
                   {"days", Align::right},
                   {"GPU-hours", Align::right},
                   {"cost", Align::right},
                   {"MWh", Align::right}});
  for (const ClusterAnswer& run : answer.clusters) {
    if (!run.problem.empty()) {
      table.add_row({run.name, count_text(static_cast<double>(run.gpus)), short_size_text(run.parameters),
                     short_size_text(run.tokens), "impossible", "", "", "", "", ""});
      continue;
    }
    table.add_row({run.name, count_text(static_cast<double>(run.gpus)), short_size_text(run.parameters),
                   short_size_text(run.tokens), run.loss ? loss_text(*run.loss) : "-", percent_text(run.mfu),
                   number_text(run.campaign.days.mean), short_size_text(run.gpu_hours),
                   run.dollars() ? dollars_text(*run.dollars()) : "-", number_text(run.energy.facility.si() / 3.6e9)});
  }
  return title(paint, "Side by side") + indented(table.to_string());
}

std::string laws(const Answer& answer, const ClusterAnswer& run, const Paint& paint) {
  if (answer.laws.empty()) return "";
  std::string page = title(paint, fmt::format("What laws make of {}", compute_text(run.compute)));
  TextTable table({{"law"},
                   {"parameters", Align::right},
                   {"80%", Align::right},
                   {"tokens", Align::right},
                   {"a parameter", Align::right},
                   {"loss", Align::right},
                   {"beyond its runs", Align::right}});
  for (const LawAnswer& law : answer.laws) {
    table.add_row({law.name, short_size_text(law.size.parameters),
                   law.range ? fmt::format("{} to {}", short_size_text(law.range->parameters.first),
                                           short_size_text(law.range->parameters.second))
                             : "",
                   short_size_text(law.size.tokens), number_text(law.size.tokens / law.size.parameters),
                   law.loss ? loss_text(*law.loss) : "", law.beyond != 1 ? times_text(law.beyond) : ""});
  }
  page += indented(table.to_string());
  if (answer.over_training) {
    const OverTraining& over = *answer.over_training;
    page +=
        labelled("this run", over.extra_compute < 1.002
                                 ? "the best sizes of its compute"
                                 : fmt::format("{} nats above the best sizes of its compute; the least compute that "
                                               "reaches its loss is {}, {} of it",
                                               loss_text(std::max(0.0, over.penalty)),
                                               compute_text(run.compute / over.extra_compute),
                                               percent_text(1 / over.extra_compute)));
  }
  return page;
}

std::string iso_flop(const Answer& answer, const Paint& paint) {
  if (answer.iso_flop.empty()) return "";
  TextTable table(
      {{"parameters", Align::right}, {"tokens", Align::right}, {"a parameter", Align::right}, {"loss", Align::right}});
  const std::size_t step = std::max<std::size_t>(1, (answer.iso_flop.size() - 1) / 8);
  for (std::size_t i = 0; i < answer.iso_flop.size(); i += step) {
    const IsoFlopPoint& point = answer.iso_flop[i];
    table.add_row({short_size_text(point.size.parameters), short_size_text(point.size.tokens),
                   number_text(point.size.tokens / point.size.parameters), loss_text(point.loss)});
  }
  return title(paint, "Other sizes for the same compute") + indented(table.to_string());
}

std::string sizes(const ClusterAnswer& run, const Paint& paint) {
  if (run.sizes.size() < 2) return "";
  const bool priced = run.bill.has_value();
  std::vector<TextTable::Column> columns{
      {"GPUs", Align::right}, {"days", Align::right}, {"MFU", Align::right}, {"GPU-hours", Align::right}};
  if (priced) columns.push_back({"cost", Align::right});
  columns.push_back({""});
  TextTable table(columns);
  for (const ClusterAnswer::Size& size : run.sizes) {
    std::vector<std::string> row{count_text(static_cast<double>(size.gpus))};
    const bool runs = size.problem.empty();
    if (runs) {
      row.insert(row.end(), {number_text(size.days), percent_text(size.mfu),
                             size.gpu_hours < 1000 ? gpu_hours_text(size.gpu_hours) : short_size_text(size.gpu_hours)});
    } else {
      row.insert(row.end(), {"-", "", ""});
    }
    if (priced) row.push_back(size.dollars ? dollars_text(*size.dollars) : "");
    row.push_back(!runs ? shortened(size.problem, 60) : size.gpus == run.gpus ? "this cluster" : "");
    table.add_row(std::move(row));
  }
  return title(paint, "The same run on fewer and more GPUs") + indented(table.to_string());
}

std::string what_if(const Answer& answer, const Paint& paint) {
  if (answer.what_if.empty()) return "";
  const bool priced =
      std::any_of(answer.what_if.begin(), answer.what_if.end(), [](const WhatIf& w) { return w.dollars.has_value(); });
  TextTable table({{"change"},
                   {"model", Align::right},
                   {"tokens", Align::right},
                   {"loss", Align::right},
                   {"days", Align::right},
                   {priced ? "cost" : "", Align::right}});
  std::string impossible;
  for (const WhatIf& line : answer.what_if) {
    if (!line.problem.empty()) {
      table.add_row({line.change, "-", "", "", "", ""});
      impossible += wrapped("  - ", line.change + ": impossible, " + line.problem);
      continue;
    }
    table.add_row({line.change, short_size_text(line.parameters), short_size_text(line.tokens),
                   line.loss ? loss_text(*line.loss) : "", number_text(line.days),
                   line.dollars ? dollars_text(*line.dollars) : ""});
  }
  return title(paint, "What would change the answer") + indented(table.to_string()) + impossible;
}

std::string assumed(const Answer& answer, const Paint& paint) {
  if (answer.assumed.empty()) return "";
  std::string page = title(paint, "Assumed, since the file does not say");
  for (const std::string& line : answer.assumed) page += wrapped("  - ", line);
  return page;
}

}  // namespace

std::string answer_text(const Answer& answer, const AnswerStyle& style) {
  const Paint paint(style.colour);
  std::string page = paint.strong(answer.name) + "\n" + labelled("budget", budget_text(answer.budget)) +
                     labelled("law", answer.law + ": " + answer.law_source);
  const ClusterAnswer& best = answer.clusters[answer.best];
  page += side_by_side(answer, paint);
  page += answer_of(best, answer, paint);
  if (best.problem.empty()) {
    if (best.pace.phases.size() > 1) page += title(paint, "Phases") + phases_text(best);
    page += calendar(best, paint);
  }
  for (const ClusterAnswer& other : answer.clusters) {
    if (&other != &best && !other.problem.empty()) page += answer_of(other, answer, paint);
  }
  page += sizes(best, paint) + laws(answer, best, paint) + iso_flop(answer, paint) + what_if(answer, paint) +
          assumed(answer, paint);
  return page;
}

}  // namespace stepcast
