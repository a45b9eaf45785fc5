/// Tables of trained models, by the names that people give to their columns.

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "simulator/base/csv.hpp"
#include "simulator/base/files.hpp"
#include "simulator/budget/law_fit.hpp"

namespace stepcast {
namespace {

/// What a column holds, by its name in lower case without blanks, dashes and underscores.
constexpr std::array parameter_names{"n",           "params",        "nparams",   "numparams",   "parameters",
                                     "nparameters", "numparameters", "modelsize", "modelparams", "size"};
constexpr std::array token_names{"d",           "tokens",     "ntokens",   "numtokens",   "trainingtokens",
                                 "traintokens", "tokensseen", "tokens6nd", "datasetsize", "data"};
constexpr std::array flop_names{"c",
                                "flop",
                                "flops",
                                "trainflop",
                                "trainflops",
                                "trainingflop",
                                "trainingflops",
                                "compute",
                                "trainingcompute",
                                "totalflops"};
constexpr std::array loss_names{"loss",           "l",        "finalloss", "evalloss",    "valloss",
                                "validationloss", "testloss", "trainloss", "trainingloss"};

std::string plain(const std::string& name) {
  std::string letters;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      letters += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return letters;
}

template <std::size_t N>
std::string column_of(const CsvTable& table, const std::array<const char*, N>& names) {
  std::string found;
  for (const std::string& column : table.columns()) {
    if (std::find(names.begin(), names.end(), plain(column)) == names.end()) continue;
    if (!found.empty())
      throw UserError({table.path(), 1, 0}, fmt::format("the columns '{}' and '{}' say the same", found, column));
    found = column;
  }
  return found;
}

}  // namespace

std::vector<LossPoint> read_loss_points(const std::string& path) {
  const CsvTable table(path, read_file(path));
  const std::string parameters = column_of(table, parameter_names), tokens = column_of(table, token_names),
                    flops = column_of(table, flop_names), loss = column_of(table, loss_names);
  std::string columns;
  for (const std::string& column : table.columns()) columns += (columns.empty() ? "" : ", ") + column;
  if (loss.empty())
    throw UserError({path, 1, 0}, fmt::format("no column of losses ('loss', 'val_loss', ...) among: {}", columns));
  if (parameters.empty() + tokens.empty() + flops.empty() > 1)
    throw UserError(
        {path, 1, 0},
        fmt::format("two of parameters ('params', 'N'), tokens ('tokens', 'D') and FLOPs ('train_flop', 'C') "
                    "are needed; the columns are: {}",
                    columns));
  std::vector<LossPoint> points;
  for (const CsvRow& row : table.rows()) {
    LossPoint point;
    point.line = row.line();
    point.loss = row.positive(loss);
    const double compute = flops.empty() ? 0 : row.positive(flops) / 6;
    if (!parameters.empty()) point.parameters = row.positive(parameters);
    if (!tokens.empty()) point.tokens = row.positive(tokens);
    if (parameters.empty()) point.parameters = compute / point.tokens;
    if (tokens.empty()) point.tokens = compute / point.parameters;
    points.push_back(point);
  }
  return points;
}

}  // namespace stepcast
