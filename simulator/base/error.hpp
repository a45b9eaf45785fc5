#pragma once
/// The two kinds of failure. The user's mistake is a UserError, which `main` prints before it exits with 2.
/// Our mistake trips CHECK, in release builds too. What a search expects ("does not fit") is a value, not an error.

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace stepcast {

/// Where in the user's input something stands; line and column count from one, zero when unknown.
struct Location {
  std::string file;
  int line = 0;
  int column = 0;
};

/// A mistake in the user's input: place, problem, remedy.
///
/// what() is the whole message, ready to print:
///   scenarios/llama3-70b.yaml:7:8: unknown GPU 'h10-sxm', did you mean 'h100-sxm'?
///       gpu: h10-sxm
///            ^ near here
class UserError : public std::runtime_error {
 public:
  explicit UserError(const std::string& problem) : std::runtime_error(problem) {}
  /// @param source_line the text of that line, empty when not at hand
  UserError(const Location& where, const std::string& problem, std::string_view source_line = {});
};

[[noreturn]] void check_failed(const char* condition, const char* file, int line, std::string_view why);

/// What must hold however the program is used. A user who can make it fail should have met a UserError instead.
#define CHECK(condition, why) \
  (static_cast<bool>(condition) ? void(0) : ::stepcast::check_failed(#condition, __FILE__, __LINE__, why))

/// Thrown by CHECK: our fault, exit code 3.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// The candidate nearest to `name` by edit distance, else the shortest that goes on where `name` stops ('h100');
/// empty when none is near enough to be what was meant.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

/// "unknown GPU 'h10', did you mean 'h100'? (one of: a, b, c)": the list is cut after a dozen names.
std::string unknown_name(std::string_view kind, std::string_view name, const std::vector<std::string>& candidates);

}  // namespace stepcast
