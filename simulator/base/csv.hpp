#pragma once
/// Tables of comma-separated values with a header line; a field in double quotes may hold commas.

#include <string>
#include <string_view>
#include <vector>

#include "simulator/base/error.hpp"

namespace stepcast {

class CsvTable;

class CsvRow {
 public:
  /// @throws UserError when the table has no such column
  const std::string& text(std::string_view column) const;
  /// @throws UserError for what is not a whole number of at least `at_least`
  std::int64_t count(std::string_view column, std::int64_t at_least = 1) const;
  /// A finite number above zero. @throws UserError for anything else: a time, a rate
  double positive(std::string_view column) const;
  [[noreturn]] void fail(const std::string& problem) const;
  int line() const { return line_; }

 private:
  friend class CsvTable;
  const CsvTable* table_ = nullptr;
  std::vector<std::string> fields_;
  std::string source_;
  int line_ = 0;
};

/// Rows refer to their table, which therefore stays where it is.
class CsvTable {
 public:
  /// @throws UserError for an empty table and for a row of another length than the header
  CsvTable(std::string path, std::string_view text);
  CsvTable(const CsvTable&) = delete;
  CsvTable& operator=(const CsvTable&) = delete;

  bool has(std::string_view column) const;
  /// @throws UserError naming the first of the columns that is missing, and what kinds of table there are
  void require(const std::vector<std::string>& columns, const std::string& expected) const;
  const std::vector<CsvRow>& rows() const { return rows_; }
  const std::string& path() const { return path_; }
  const std::vector<std::string>& columns() const { return columns_; }

 private:
  std::string path_;
  std::vector<std::string> columns_;
  std::vector<CsvRow> rows_;
};

/// The last part of a path.
std::string file_name_of(const std::string& path);

/// Text as a finite number; nothing when it is none.
bool parse_number(std::string_view text, double& value);
bool parse_count(std::string_view text, std::int64_t& value);

}  // namespace stepcast
