#pragma once
/// What the subcommands share: their table's row, choices, switches, and how a result reaches the world.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "simulator/base/error.hpp"
#include "simulator/input/input.hpp"

namespace stepcast::cli {

/// Exit codes of the command-line contract.
enum Exit : int { done = 0, answered_no = 1, wrong_input = 2, our_fault = 3 };

/// Carries a subcommand out once its options have been read.
using Action = std::function<Exit()>;

Action add_predict(CLI::App& app);
Action add_roofline(CLI::App& app);
Action add_validate(CLI::App& app);
Action add_sweep(CLI::App& app);
Action add_compare(CLI::App& app);
Action add_sensitivity(CLI::App& app);
Action add_scale(CLI::App& app);
Action add_emit(CLI::App& app);
Action add_import(CLI::App& app);
Action add_collective(CLI::App& app);
Action add_topology(CLI::App& app);
Action add_list(CLI::App& app);
Action add_calibrate(CLI::App& app);
Action add_calibrate_measure(CLI::App& app);
Action add_calibrate_import(CLI::App& app);
Action add_calibrate_fit(CLI::App& app);
Action add_plan(CLI::App& app);
Action add_plan_fit(CLI::App& app);
Action add_plan_shape(CLI::App& app);

struct Command {
  std::string name;
  std::string description;
  Action (*add)(CLI::App&);  ///< declares the options
};

/// Gives `app` the subcommands of a table of its own: `stepcast calibrate fit`. Alone it prints its help.
Action add_subcommands(CLI::App& app, const std::vector<Command>& table, const std::string& examples);

/// Tells "--fromat" from a stray word, and the options or subcommands that there are from those that were meant.
/// @throws UserError when the command was given what it does not know
void check_leftovers(const CLI::App& command);

/// The row of a table whose `name` was asked for. @throws UserError that lists the names
template <class Table>
const auto& chosen(std::string_view kind, std::string_view name, const Table& table) {
  std::vector<std::string> names;
  for (const auto& row : table) {
    if (row.name == name) return row;
    names.emplace_back(row.name);
  }
  throw UserError(unknown_name(kind, name, names));
}

/// The names of a table's rows, for a help text: "text|json|csv".
template <class Table>
std::string names_of(const Table& table) {
  std::string names;
  for (const auto& row : table) names += (names.empty() ? "" : "|") + std::string(row.name);
  return names;
}

/// Of commands whose answer is one table.
struct AnswerFormat {
  std::string_view name;
};
inline constexpr AnswerFormat answer_formats[] = {{"text"}, {"json"}, {"csv"}};

/// "on" or "off". @throws UserError for anything else
bool switched_on(std::string_view option, std::string_view value);

/// Options that name scenarios or files, and what --set changes in them.
class Inputs {
 public:
  enum class Count { one, many };
  void add(CLI::App& app, const std::string& name, Count count, const std::string& description);
  /// What was named. `--set a=1 FILE` hands FILE to --set, which a '=' tells apart.
  std::vector<std::string> files() const;
  /// The one that was named. @throws UserError when none or several were
  std::string one_file(const std::string& name) const;
  std::vector<Override> overrides() const;

 private:
  std::vector<std::string> files_;
  std::vector<std::string> sets_;
};

/// The result, to standard output. A reader that has gone away (`| head`) is no error.
void print_result(std::string_view text);

/// Commentary, to standard error.
void print_note(std::string_view text);

/// Whether the stream is a terminal that should have colour: https://no-color.org
bool wants_colour(std::FILE* stream);
bool is_terminal(std::FILE* stream);

}  // namespace stepcast::cli
