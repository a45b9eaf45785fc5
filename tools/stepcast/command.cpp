#include "tools/stepcast/command.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <unistd.h>

namespace stepcast::cli {

bool switched_on(std::string_view option, std::string_view value) {
  if (value == "on") return true;
  if (value == "off") return false;
  throw UserError(std::string(option) + " is on or off, not '" + std::string(value) + "'");
}

void check_leftovers(const CLI::App& command) {
  for (const CLI::App* below : command.get_subcommands()) check_leftovers(*below);
  const std::vector<std::string> leftovers = command.remaining();
  if (leftovers.empty()) return;
  std::vector<std::string> names;
  if (leftovers.front()[0] != '-') {
    for (const CLI::App* below : command.get_subcommands({})) names.push_back(below->get_name());
    if (names.empty()) throw UserError("unexpected argument '" + leftovers.front() + "'");
    throw UserError(unknown_name("subcommand of " + command.get_name(), leftovers.front(), names));
  }
  for (const CLI::Option* option : command.get_options())
    if (!option->get_lnames().empty()) names.push_back("--" + option->get_lnames().front());
  throw UserError(unknown_name("option of " + command.get_name(), leftovers.front(), names));
}

Action add_subcommands(CLI::App& app, const std::vector<Command>& table, const std::string& examples) {
  app.require_subcommand(0, 1);
  app.footer(examples);
  std::map<const CLI::App*, Action> actions;
  for (const Command& command : table) {
    CLI::App* subcommand = app.add_subcommand(command.name, command.description);
    subcommand->allow_extras();
    actions[subcommand] = command.add(*subcommand);
  }
  return [&app, actions = std::move(actions)] {
    if (!app.get_subcommands().empty()) return actions.at(app.get_subcommands().front())();
    print_result(app.help());
    return Exit::done;
  };
}

void Inputs::add(CLI::App& app, const std::string& name, Count count, const std::string& description) {
  CLI::Option* named = app.add_option(name, files_, description)->type_name("");
  if (count == Count::one) named->expected(1);
  app.add_option("--set", sets_, "Change a key: plan.tensor_parallel=4")->type_name("KEY=VALUE");
}

std::vector<std::string> Inputs::files() const {
  std::vector<std::string> files = files_;
  for (const std::string& text : sets_)
    if (text.find('=') == std::string::npos) files.push_back(text);
  return files;
}

std::string Inputs::one_file(const std::string& name) const {
  const std::vector<std::string> named = files();
  if (named.empty()) throw UserError(name + " is missing; --help has examples");
  if (named.size() > 1) throw UserError("one " + name + " at a time: unexpected '" + named[1] + "'");
  return named.front();
}

std::vector<Override> Inputs::overrides() const {
  std::vector<Override> overrides;
  for (const std::string& text : sets_)
    if (text.find('=') != std::string::npos) overrides.push_back(parse_override(text));
  return overrides;
}

void print_result(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!written && errno != EPIPE)
    throw UserError(std::string("cannot write to standard output: ") + std::strerror(errno));
}

void print_note(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fputc('\n', stderr);
}

bool is_terminal(std::FILE* stream) { return isatty(fileno(stream)) == 1; }

bool wants_colour(std::FILE* stream) {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool refused = (no_colour && *no_colour) || (terminal && std::string_view(terminal) == "dumb");
  return !refused && is_terminal(stream);
}

}  // namespace stepcast::cli
