#include "simulator/base/error.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "simulator/base/utf8.hpp"

namespace stepcast {
namespace {

constexpr std::size_t longest_quoted_line = 100;
constexpr std::size_t listed_names = 12;

// --- the quoted source line --------------------------------------------------------------------------------------

/// The byte at which the `column`-th character (from one) begins.
std::size_t byte_of_column(std::string_view line, int column) {
  std::size_t at = 0;
  for (int passed = 1; passed < column && at < line.size(); ++passed) {
    at += std::max<std::size_t>(utf8_length(line, at), 1);
  }
  return at;
}

/// Bytes that could upset a terminal become spaces, which also keeps the caret where it belongs.
std::string printable(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    const bool shown = length > 1 || (length == 1 && std::iscntrl(static_cast<unsigned char>(text[at])) == 0);
    result += shown ? text.substr(at, length) : " ";
    at += std::max<std::size_t>(length, 1);
  }
  return result;
}

/// Moves forward to where a character begins.
std::size_t character_start(std::string_view text, std::size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0u) == 0x80) ++at;
  return at;
}

/// The line without its indentation and a caret below the column; of a very long line, the part around the caret.
std::string quote(std::string_view line, int column) {
  const std::size_t caret = byte_of_column(line, column);
  const auto text_start = std::min(line.find_first_not_of(" \t"), line.size());
  std::size_t begin = std::min(text_start, caret);
  const bool too_long = line.size() - begin > longest_quoted_line;
  if (too_long && caret > begin + longest_quoted_line / 2)
    begin = character_start(line, caret - longest_quoted_line / 2);
  const std::size_t end = character_start(line, std::min(line.size(), begin + longest_quoted_line));

  const std::string before = (begin > text_start ? "..." : "") + printable(line.substr(begin, caret - begin));
  const std::string after = printable(line.substr(caret, end - caret)) + (end < line.size() ? "..." : "");
  return fmt::format("\n    {}{}\n    {:{}}^ near here", before, after, "", display_width(before));
}

std::string place(const Location& where) {
  if (where.file.empty()) return "";
  if (where.line <= 0) return where.file + ": ";
  if (where.column <= 0) return fmt::format("{}:{}: ", where.file, where.line);
  return fmt::format("{}:{}:{}: ", where.file, where.line, where.column);
}

std::string whole_message(const Location& where, const std::string& problem, std::string_view source_line) {
  std::string message = place(where) + problem;
  const bool blank = source_line.find_first_not_of(" \t\r") == std::string_view::npos;
  if (where.column > 0 && !blank) message += quote(source_line, where.column);
  return message;
}

// --- did you mean ------------------------------------------------------------------------------------------------

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

/// Damerau-Levenshtein distance (restricted): insert, delete, replace, or swap two neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

/// A third of the letters may be wrong: enough for a typo, too little to propose something else altogether.
std::size_t tolerated_edits(std::size_t length) { return std::max<std::size_t>(1, length / 3); }

/// The shortest candidate that goes on where `name` stops: 'h100' for 'h100-80gb-sxm'.
std::string completion(const std::string& name, const std::vector<std::string>& candidates) {
  constexpr std::size_t telling_length = 3;
  std::string best;
  if (name.size() < telling_length) return best;
  for (const std::string& candidate : candidates) {
    if (lower(candidate).starts_with(name) && (best.empty() || candidate.size() < best.size())) best = candidate;
  }
  return best;
}

std::string listed(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), listed_names);
  std::string list =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (shown < names.size()) list += fmt::format(" and {} more", names.size() - shown);
  return list;
}

}  // namespace

UserError::UserError(const Location& where, const std::string& problem, std::string_view source_line)
    : std::runtime_error(whole_message(where, problem, source_line)) {}

void check_failed(const char* condition, const char* file, int line, std::string_view why) {
  throw InternalError(fmt::format("{}:{}: internal error: {} ({})", file, line, why, condition));
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr std::size_t longest_compared = 200;  // no preset is as long: comparing would only cost time
  if (name.size() > longest_compared) return {};
  const std::string wanted = lower(name);
  std::size_t best_distance = tolerated_edits(wanted.size()) + 1;
  std::string best;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(wanted, lower(candidate));
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best.empty() ? completion(wanted, candidates) : best;
}

std::string unknown_name(std::string_view kind, std::string_view name, const std::vector<std::string>& candidates) {
  std::string message = fmt::format("unknown {} '{}'", kind, name);
  if (const std::string nearest = nearest_name(name, candidates); !nearest.empty()) {
    message += fmt::format(", did you mean '{}'?", nearest);
  }
  if (!candidates.empty()) message += fmt::format(" (one of: {})", listed(candidates));
  return message;
}

}  // namespace stepcast
