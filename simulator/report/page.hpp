#pragma once
/// Parts of a page for a terminal: bars, wrapped lists, colour. Widths count terminal columns, not bytes.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace stepcast {

inline constexpr std::size_t page_width = 100;
inline constexpr std::size_t label_width = 13;

/// Terminal escapes, or nothing at all when off.
class Paint {
 public:
  explicit Paint(bool on) : on_(on) {}

  std::string strong(std::string_view text) const { return wrap("1", text); }
  std::string faint(std::string_view text) const { return wrap("2", text); }
  std::string good(std::string_view text) const { return wrap("32", text); }
  std::string bad(std::string_view text) const { return wrap("31", text); }
  std::string bar(std::string_view text) const { return wrap("36", text); }

 private:
  std::string wrap(std::string_view code, std::string_view text) const;
  bool on_;
};

/// `text` filled up with blanks to `width` columns.
std::string padded(std::string_view text, std::size_t width);

/// `text` cut to `width` columns, the last one an ellipsis when anything was cut.
std::string shortened(std::string_view text, std::size_t width);

/// A horizontal bar of `share` of `width` columns, to an eighth of one; a share above zero always shows.
std::string bar(double share, int width);

/// `text` broken between words into lines of at most page_width columns; `first` opens the first line and the
/// others are indented as far. Control characters, which a name read from a file may hold, become blanks.
std::string wrapped(std::string_view first, std::string_view text);

/// `text` as wrapped() breaks it, behind a label.
std::string labelled(const char* label, const std::string& text);

/// A heading with a line above it.
std::string title(const Paint& paint, const std::string& text);

/// Every line of `text` moved to the right.
std::string indented(std::string_view text, std::size_t columns = 2);

/// Names with repetitions counted: "embedding + 4 layers, 2 x (4 layers)".
std::string joined_with_counts(const std::vector<std::string>& names);

}  // namespace stepcast
