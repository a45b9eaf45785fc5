#pragma once
/// A table of text for a terminal.

#include <string>
#include <vector>

namespace stepcast {

enum class Align { left, right };

/// Collects rows and prints them in aligned columns, two spaces apart, under an underlined header:
///
///   GPU              step
///   -------------  ------
///   a100-80gb-sxm  13.6 s
///
/// Widths count terminal columns, not bytes. No line ends in spaces.
class TextTable {
 public:
  struct Column {
    std::string title;
    Align align = Align::left;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// @param cells one for each column
  void add_row(std::vector<std::string> cells);

  bool empty() const { return rows_.empty(); }

  /// The whole table, each line ended by a newline; without any title the header is left out.
  std::string to_string() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace stepcast
