#include "simulator/input/scaling_law_reader.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "simulator/input/file_keys.hpp"
#include "simulator/input/yaml_reader.hpp"

namespace stepcast {
namespace {

const FileKeys& law_keys() {
  static const FileKeys keys{
      {"", "name", "text", "left out: the file's name"},
      {"", "description", "text", "one line, for `stepcast list scaling-laws`"},
      {"", "source", "text", "where the numbers are published"},
      {"", "note", "text", "what a reader should know"},
      {"", "form", "parametric | kaplan", "of `loss`: E + A/N^alpha + B/D^beta, or Kaplan's joint form"},
      {"", "loss", "map", "the constants of the form"},
      {"", "counts", "map", "what the law calls N and C"},
      {"", "frontier", "map", "best sizes as powers of C; goes before `loss` where those are asked for"},
      {"", "uncertainty", "map", "of the constants of a parametric loss"},
      {"", "fitted_range", "map", "of the runs behind the law"},
      {"", "repetition", "map", "what repeated tokens are worth"},
      {"", "hyperparameters", "map", "suggested batch and learning rate as powers of C"},
      {"counts", "parameters", "total | non-embedding", "N (default total)"},
      {"counts", "compute", "6nd | non-embedding-per-token", "C = 6 N D (default), or M D with M of DeepSeek LLM"},
      {"loss", "E", "nats", "irreducible loss; or log_E"},
      {"loss", "A", "number", "or log_A"},
      {"loss", "B", "number", "or log_B"},
      {"loss", "log_E", "number", ""},
      {"loss", "log_A", "number", ""},
      {"loss", "log_B", "number", ""},
      {"loss", "alpha", "number", "exponent of N"},
      {"loss", "beta", "number", "exponent of D"},
      {"loss", "N_c", "parameters", "kaplan"},
      {"loss", "D_c", "tokens", "kaplan"},
      {"loss", "alpha_N", "number", "kaplan"},
      {"loss", "alpha_D", "number", "kaplan"},
      {"frontier", "table", "list of [FLOPs, parameters]", "a line is put through it; or"},
      {"frontier", "parameters", "{coefficient, exponent}", "or"},
      {"frontier", "through", "{compute, parameters, tokens}", "one published pair, and"},
      {"frontier", "exponents", "{parameters, tokens}", "the powers that go through it"},
      {"frontier", "tokens", "{coefficient, exponent}", "left out: C / (6 N)"},
      {"frontier", "exponent_range", "[low, high]", "10th and 90th percentile of the parameters' exponent"},
      {"frontier", "pivot", "FLOPs", "about which the line turns; the middle of the runs"},
      {"uncertainty", "source", "text", ""},
      {"uncertainty", "standard_errors", "{E, A, B, alpha, beta}", "or log_E, log_A, log_B in place of E, A, B"},
      {"uncertainty", "correlation", "list of five lists",
       "of log E, log A, log B, alpha, beta: lower triangle with its diagonal; left out: independent"},
      {"fitted_range", "source", "text", ""},
      {"fitted_range", "parameters", "[low, high]", ""},
      {"fitted_range", "tokens", "[low, high]", ""},
      {"fitted_range", "compute", "[low, high]", "FLOPs"},
      {"repetition", "source", "text", ""},
      {"repetition", "R_D", "number", "repeats after which a token has lost 63% of its worth"},
      {"repetition", "R_N", "number", "the same of parameters beyond the optimum of the unique tokens"},
      {"hyperparameters", "source", "text", ""},
      {"hyperparameters", "batch_tokens", "{coefficient, exponent}", ""},
      {"hyperparameters", "learning_rate", "{coefficient, exponent}", ""},
  };
  return keys;
}

std::vector<std::string> vocabulary(std::string_view section) { return vocabulary_of(law_keys(), section); }

constexpr double largest = 1e60;  // no count of anything here is as large
constexpr NumberRange any_number{-1e6, 1e6};
constexpr NumberRange counts{1, largest};

/// Zero is no constant of a power law.
double positive(const YamlValue& value, double highest = largest) {
  const double number = value.number({0, highest});
  if (!(number > 0)) throw value.must_be("above zero");
  return number;
}

double exponent(const YamlValue& value) { return positive(value, 10); }

/// `E`, or `log_E`.
double constant(YamlMap& map, const std::string& key) {
  const auto plain = map.find(key), logarithm = map.find("log_" + key);
  if (plain && logarithm) throw logarithm->error(fmt::format("{0} and log_{0} say the same: give one", key));
  if (!logarithm) return positive(map.require(key));
  return std::exp(logarithm->number({-100, 100}));
}

PowerLaw read_power_law(const YamlValue& value) {
  YamlMap map(value, {"coefficient", "exponent"});
  const PowerLaw law{positive(map.require("coefficient")), map.require("exponent").number({-10, 10})};
  map.finish();
  return law;
}

std::pair<double, double> read_range(const YamlValue& value, NumberRange range) {
  const std::vector<YamlValue> ends = value.list();
  if (ends.size() != 2) throw value.must_be("[low, high]");
  const std::pair<double, double> read{ends[0].number(range), ends[1].number(range)};
  if (read.first > read.second) throw value.must_be("[low, high] in that order");
  return read;
}

/// Of the one, the keys of the other are refused.
void refuse(YamlMap& map, const std::vector<const char*>& keys, const std::string& form) {
  for (const char* key : keys) {
    if (const auto value = map.find(key))
      throw error_at_key(value->node(), fmt::format("{}: not of a law of the form '{}'", value->path(), form));
  }
}

std::variant<ParametricLoss, KaplanLoss> read_loss(const YamlValue& value, const std::string& form) {
  YamlMap map(value, vocabulary("loss"));
  if (form == "kaplan") {
    refuse(map, {"E", "A", "B", "log_E", "log_A", "log_B", "alpha", "beta"}, form);
    const KaplanLoss loss{positive(map.require("N_c")), positive(map.require("D_c")), exponent(map.require("alpha_N")),
                          exponent(map.require("alpha_D"))};
    map.finish();
    return loss;
  }
  refuse(map, {"N_c", "D_c", "alpha_N", "alpha_D"}, form);
  const ParametricLoss loss{constant(map, "E"), constant(map, "A"), constant(map, "B"), exponent(map.require("alpha")),
                            exponent(map.require("beta"))};
  map.finish();
  return loss;
}

/// A published pair and the powers through it.
void read_through(YamlMap& map, const YamlValue& value, Frontier& frontier) {
  YamlMap point(value, {"compute", "parameters", "tokens"});
  YamlMap powers(map.require("exponents"), {"parameters", "tokens"});
  const double compute = point.require("compute").number(counts);
  frontier.parameters =
      power_law_through(compute, point.require("parameters").number(counts), exponent(powers.require("parameters")));
  const auto tokens = point.find("tokens"), power = powers.find("tokens");
  if (tokens.has_value() != power.has_value())
    throw map.error(map.path() + ": tokens of the pair and their exponent go together");
  if (tokens) frontier.tokens = power_law_through(compute, tokens->number(counts), exponent(*power));
  point.finish();
  powers.finish();
}

void read_table(const YamlValue& value, Frontier& frontier) {
  std::vector<std::pair<double, double>> rows;
  for (const YamlValue& item : value.list()) {
    const std::vector<YamlValue> row = item.list();
    if (row.size() != 2) throw item.must_be("[FLOPs, parameters]");
    rows.emplace_back(row[0].number(counts), row[1].number(counts));
  }
  const bool differ =
      std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row.first != rows.front().first; });
  if (!differ) throw value.must_be("of two rows at least, of different FLOPs");
  frontier.parameters = power_law_through(rows);
}

Frontier read_frontier(const YamlValue& value) {
  YamlMap map(value, vocabulary("frontier"));
  Frontier frontier;
  const auto table = map.find("table"), power = map.find("parameters"), through = map.find("through");
  if (table.has_value() + power.has_value() + through.has_value() != 1)
    throw map.error(map.path() + " is given by one of: table, parameters, through");
  if (table) read_table(*table, frontier);
  if (power) frontier.parameters = read_power_law(*power);
  if (through) read_through(map, *through, frontier);
  if (const auto exponents = map.find("exponents"); exponents && !through)
    throw exponents->error(exponents->path() + " go with `through`");
  if (const auto tokens = map.find("tokens")) frontier.tokens = read_power_law(*tokens);
  const auto range = map.find("exponent_range"), pivot = map.find("pivot");
  if (range.has_value() != pivot.has_value()) throw map.error(map.path() + ": exponent_range and pivot go together");
  if (range) {
    frontier.exponent_range = read_range(*range, {0, 10});
    frontier.pivot = pivot->number(counts);
  }
  map.finish();
  return frontier;
}

/// A standard error of log E, from itself or from that of E.
double error_of_log(YamlMap& map, const std::string& key, double value) {
  const auto plain = map.find(key), logarithm = map.find("log_" + key);
  if (plain && logarithm) throw logarithm->error(fmt::format("{0} and log_{0} say the same: give one", key));
  if (logarithm) return logarithm->number({0, 100});
  return map.require(key).number({0, largest}) / value;
}

void read_correlation(const YamlValue& value, LossUncertainty& uncertainty) {
  const std::vector<YamlValue> rows = value.list();
  if (rows.size() != 5) throw value.must_be("five lists");
  for (std::size_t i = 0; i < 5; ++i) {
    const std::vector<YamlValue> row = rows[i].list();
    if (row.size() != i + 1) throw rows[i].must_be(fmt::format("a list of {}: the lower triangle", i + 1));
    for (std::size_t j = 0; j <= i; ++j) {
      const double r = i == j ? row[j].number({1, 1}) : row[j].number({-1, 1});
      uncertainty.correlation[i][j] = uncertainty.correlation[j][i] = r;
    }
  }
  uncertainty.correlated = true;
}

LossUncertainty read_uncertainty(const YamlValue& value, const ParametricLoss& loss) {
  YamlMap map(value, vocabulary("uncertainty"));
  LossUncertainty uncertainty;
  if (const auto source = map.find("source")) uncertainty.source = source->text();
  YamlMap errors(map.require("standard_errors"), {"E", "A", "B", "log_E", "log_A", "log_B", "alpha", "beta"});
  uncertainty.standard_error = {error_of_log(errors, "E", loss.E), error_of_log(errors, "A", loss.A),
                                error_of_log(errors, "B", loss.B), errors.require("alpha").number({0, 10}),
                                errors.require("beta").number({0, 10})};
  errors.finish();
  for (std::size_t i = 0; i < 5; ++i) uncertainty.correlation[i][i] = 1;
  if (const auto correlation = map.find("correlation")) read_correlation(*correlation, uncertainty);
  map.finish();
  return uncertainty;
}

FittedRange read_fitted_range(const YamlValue& value) {
  YamlMap map(value, vocabulary("fitted_range"));
  FittedRange range;
  if (const auto source = map.find("source")) range.source = source->text();
  if (const auto ends = map.find("parameters")) range.parameters = read_range(*ends, counts);
  if (const auto ends = map.find("tokens")) range.tokens = read_range(*ends, counts);
  if (const auto ends = map.find("compute")) range.compute = read_range(*ends, counts);
  map.finish();
  return range;
}

void read_counts(const YamlValue& value, ScalingLaw& law) {
  YamlMap map(value, vocabulary("counts"));
  if (const auto parameters = map.find("parameters"))
    law.size = parameters->choice("count of parameters", {"total", "non-embedding"}) == "total"
                   ? SizeCount::total
                   : SizeCount::non_embedding;
  if (const auto compute = map.find("compute"))
    law.compute = compute->choice("count of FLOPs", {"6nd", "non-embedding-per-token"}) == "6nd"
                      ? ComputeCount::six_n_d
                      : ComputeCount::non_embedding_per_token;
  map.finish();
}

ScalingLaw read_map(const YamlNode& tree, const std::string& path, const std::string& name) {
  YamlMap map(YamlValue(tree, path), vocabulary(""));
  ScalingLaw law;
  const auto own_name = map.find("name"), description = map.find("description"), source = map.find("source");
  law.name = own_name ? own_name->text() : name;
  if (description) law.description = description->text();
  if (source) law.source = source->text();
  if (const auto note = map.find("note")) law.note = note->text();
  if (const auto value = map.find("counts")) read_counts(*value, law);

  const auto form = map.find("form"), constants = map.find("loss"), frontier = map.find("frontier");
  const std::string form_name = form ? form->choice("form of a loss", {"parametric", "kaplan"}) : "parametric";
  if (form && !constants) throw form->error(form->path() + " needs the constants under `loss`");
  if (!constants && !frontier) throw map.error("a scaling law has a `loss`, a `frontier`, or both");
  if (constants) law.form = read_loss(*constants, form_name);
  if (frontier) law.frontier = read_frontier(*frontier);

  const auto* parametric = law.form ? std::get_if<ParametricLoss>(&*law.form) : nullptr;
  for (const char* key : {"uncertainty", "repetition"}) {
    if (const auto value = map.find(key); value && parametric == nullptr)
      throw error_at_key(value->node(), fmt::format("{} needs a `loss` of the form 'parametric'", value->path()));
  }
  if (const auto value = map.find("uncertainty")) law.uncertainty = read_uncertainty(*value, *parametric);
  if (const auto value = map.find("repetition")) {
    YamlMap repetition(*value, vocabulary("repetition"));
    repetition.skip("source");
    law.repetition = Repetition{positive(repetition.require("R_D")), positive(repetition.require("R_N"))};
    repetition.finish();
  }
  if (const auto value = map.find("hyperparameters")) {
    YamlMap suggested(*value, vocabulary("hyperparameters"));
    suggested.skip("source");
    law.hyperparameters = Hyperparameters{read_power_law(suggested.require("batch_tokens")),
                                          read_power_law(suggested.require("learning_rate"))};
    suggested.finish();
  }
  if (const auto value = map.find("fitted_range")) law.fitted = read_fitted_range(*value);
  map.finish();
  return law;
}

}  // namespace

ScalingLaw read_scaling_law(const YamlValue& law, PresetStore& presets) {
  if (law.is_map()) return read_map(law.node(), law.path(), law.path());
  if (!law.is_scalar()) throw law.must_be("a scaling law's name, a path or a map");
  return read_map(presets.tree(PresetKind::scaling_law, law), "", PresetStore::stem(law));
}

ScalingLaw load_scaling_law(const std::string& name) {
  PresetStore presets;
  const YamlNode written = yaml_scalar(name);
  return read_scaling_law(YamlValue(written, "scaling_law"), presets);
}

std::string scaling_law_help() { return "Keys of a scaling law:\n" + help_of(law_keys()); }

std::string scaling_law_text(const ScalingLaw& law, const std::string& comment) {
  const auto* form = law.form ? std::get_if<ParametricLoss>(&*law.form) : nullptr;
  CHECK(form != nullptr, "a fitted law is parametric");
  std::string text;
  for (std::size_t from = 0; from < comment.size();) {
    const std::size_t end = std::min(comment.find('\n', from), comment.size());
    text += "# " + comment.substr(from, end - from) + "\n";
    from = end + 1;
  }
  text += fmt::format("description: {}\nsource: {}\nform: parametric\n", yaml_quoted(law.description),
                      yaml_quoted(law.source));
  text += fmt::format("loss: {{E: {:.6g}, A: {:.6g}, B: {:.6g}, alpha: {:.6g}, beta: {:.6g}}}\n", form->E, form->A,
                      form->B, form->alpha, form->beta);
  if (law.uncertainty) {
    const auto& error = law.uncertainty->standard_error;
    text += fmt::format(
        "uncertainty:\n  source: {}\n  standard_errors: {{log_E: {:.4g}, log_A: {:.4g}, log_B: {:.4g}, alpha: {:.4g}, "
        "beta: {:.4g}}}\n",
        yaml_quoted(law.uncertainty->source), error[0], error[1], error[2], error[3], error[4]);
    if (law.uncertainty->correlated) {
      text += "  correlation:  # of log E, log A, log B, alpha, beta\n";
      for (std::size_t i = 0; i < 5; ++i) {
        text += "    - [";
        for (std::size_t j = 0; j < i; ++j) text += fmt::format("{:.5f}, ", law.uncertainty->correlation[i][j]);
        text += "1]\n";
      }
    }
  }
  const FittedRange& fitted = law.fitted;
  if (fitted.compute.second > 0) {
    text += fmt::format("fitted_range:\n  source: {}\n", yaml_quoted(fitted.source));
    for (const auto& [key, range] :
         {std::pair{"parameters", fitted.parameters}, {"tokens", fitted.tokens}, {"compute", fitted.compute}})
      text += fmt::format("  {}: [{:.4g}, {:.4g}]\n", key, range.first, range.second);
  }
  return text;
}

}  // namespace stepcast
