#include "simulator/base/csv.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace stepcast {
namespace {

std::string trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

std::vector<std::string> split(std::string_view line, const Location& where) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (quoted) throw UserError(where, "a quote is not closed", line);
  for (std::string& field : fields) field = trimmed(field);
  return fields;
}

}  // namespace

bool parse_number(std::string_view text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && std::isfinite(value);
}

bool parse_count(std::string_view text, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

std::string file_name_of(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

const std::string& CsvRow::text(std::string_view column) const {
  const auto& columns = table_->columns();
  const auto found = std::find(columns.begin(), columns.end(), column);
  CHECK(found != columns.end(), "a reader requires the columns that it reads");
  return fields_[static_cast<std::size_t>(found - columns.begin())];
}

std::int64_t CsvRow::count(std::string_view column, std::int64_t at_least) const {
  std::int64_t value = 0;
  if (!parse_count(text(column), value) || value < at_least)
    fail(fmt::format("'{}' is a whole number of at least {}, not '{}'", column, at_least, text(column)));
  return value;
}

double CsvRow::positive(std::string_view column) const {
  double value = 0;
  if (!parse_number(text(column), value) || value <= 0)
    fail(fmt::format("'{}' is a number above zero, not '{}'", column, text(column)));
  return value;
}

void CsvRow::fail(const std::string& problem) const { throw UserError({table_->path(), line_, 0}, problem, source_); }

CsvTable::CsvTable(std::string path, std::string_view text) : path_(std::move(path)) {
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string line = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    const Location where{path_, number, 0};
    std::vector<std::string> fields = split(line, where);
    if (columns_.empty()) {
      columns_ = std::move(fields);
      continue;
    }
    if (fields.size() != columns_.size())
      throw UserError(where, fmt::format("{} columns under a header of {}", fields.size(), columns_.size()), line);
    CsvRow row;
    row.table_ = this;
    row.fields_ = std::move(fields);
    row.source_ = line;
    row.line_ = number;
    rows_.push_back(std::move(row));
  }
  if (columns_.empty()) throw UserError(path_ + ": the table is empty");
}

bool CsvTable::has(std::string_view column) const {
  return std::find(columns_.begin(), columns_.end(), column) != columns_.end();
}

void CsvTable::require(const std::vector<std::string>& columns, const std::string& expected) const {
  for (const std::string& column : columns)
    if (!has(column)) throw UserError({path_, 1, 0}, fmt::format("no column '{}': {}", column, expected));
}

}  // namespace stepcast
