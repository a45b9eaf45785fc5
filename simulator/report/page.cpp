#include "simulator/report/page.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "simulator/base/utf8.hpp"

namespace stepcast {
namespace {

/// Where the character before `end` begins; in UTF-8 the bytes that continue one are 10xxxxxx.
std::size_t previous_character(std::string_view text, std::size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

/// Blanks for line breaks and for control characters, which could drive the terminal.
std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7F) c = ' ';
  }
  return line;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for (char c : one_line(text)) {
    if (c != ' ')
      words.back() += c;
    else if (!words.back().empty())
      words.emplace_back();
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

}  // namespace

std::string Paint::wrap(std::string_view code, std::string_view text) const {
  return on_ && !text.empty() ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
}

std::string padded(std::string_view text, std::size_t width) {
  const std::size_t taken = display_width(text);
  return std::string(text) + std::string(width > taken ? width - taken : 0, ' ');
}

std::string shortened(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  std::size_t end = text.size();
  while (end > 0 && display_width(text.substr(0, end)) >= width) end = previous_character(text, end);
  return std::string(text.substr(0, end)) + "…";
}

std::string bar(double share, int width) {
  static constexpr std::array<const char*, 8> eighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (!(share > 0)) return "";
  const long whole = std::lround(std::min(share, 1.0) * width * 8);
  const auto filled = static_cast<std::size_t>(std::max(whole, 1L));
  std::string drawn;
  for (std::size_t i = 0; i < filled / 8; ++i) drawn += "█";
  return drawn + eighths[filled % 8];
}

std::string wrapped(std::string_view first, std::string_view text) {
  const std::size_t indent = display_width(first);
  if (indent + display_width(text) <= page_width) return std::string(first) + one_line(text) + "\n";
  std::string page(first);
  std::size_t column = indent;
  for (const std::string& word : words_of(text)) {
    const std::size_t width = display_width(word);
    if (column > indent && column + 1 + width > page_width) {
      page += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) page += ' ', ++column;
    page += word;
    column += width;
  }
  return page + "\n";
}

std::string labelled(const char* label, const std::string& text) {
  return wrapped("  " + padded(label, label_width), text);
}

std::string title(const Paint& paint, const std::string& text) { return "\n" + paint.strong(text) + "\n"; }

std::string indented(std::string_view text, std::size_t columns) {
  const std::string blanks(columns, ' ');
  std::string moved;
  for (bool line_starts = true; char c : text) {
    if (line_starts && c != '\n') moved += blanks;
    moved += c;
    line_starts = c == '\n';
  }
  return moved;
}

std::string joined_with_counts(const std::vector<std::string>& names) {
  std::string text;
  for (auto name = names.begin(); name != names.end();) {
    const auto next = std::find_if(name, names.end(), [&](const std::string& other) { return other != *name; });
    const auto count = next - name;
    if (!text.empty()) text += ", ";
    text += count == 1 ? *name : fmt::format("{} x ({})", count, *name);
    name = next;
  }
  return text;
}

}  // namespace stepcast
