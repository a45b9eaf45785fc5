#include "simulator/base/text_table.hpp"

#include <algorithm>

#include "simulator/base/error.hpp"
#include "simulator/base/utf8.hpp"

namespace stepcast {
namespace {

constexpr std::size_t gap = 2;

/// One line of cells, each padded to the width of its column.
std::string line_of(const std::vector<std::string>& cells, const std::vector<TextTable::Column>& columns,
                    const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const std::size_t padding = widths[c] - display_width(cells[c]);
    if (c > 0) line.append(gap, ' ');
    if (columns[c].align == Align::right) line.append(padding, ' ');
    line += cells[c];
    if (columns[c].align == Align::left) line.append(padding, ' ');
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + '\n';
}

}  // namespace

void TextTable::add_row(std::vector<std::string> cells) {
  CHECK(cells.size() == columns_.size(), "a row has one cell for each column");
  rows_.push_back(std::move(cells));
}

std::string TextTable::to_string() const {
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);

  std::vector<std::size_t> widths;
  for (const std::string& title : titles) widths.push_back(display_width(title));
  for (const auto& row : rows_) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], display_width(row[c]));
  }

  std::string text;
  if (std::any_of(titles.begin(), titles.end(), [](const std::string& title) { return !title.empty(); })) {
    std::vector<std::string> underline;
    for (const std::size_t width : widths) underline.emplace_back(width, '-');
    text += line_of(titles, columns_, widths) + line_of(underline, columns_, widths);
  }
  for (const auto& row : rows_) text += line_of(row, columns_, widths);
  return text;
}

}  // namespace stepcast
