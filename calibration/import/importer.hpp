#pragma once
/// Measurements that others took, from the tables that they published, into our own format.
///
/// An importer reads one file as a whole or not at all: a malformed row, a negative time, NaN, a missing column are
/// errors with file and line. Rows that cannot be expressed (an fp8 recipe that our format does not know) are left out
/// and counted by their reason.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "calibration/measurement.hpp"

namespace stepcast {

/// What a table does not say of itself.
struct ImportOptions {
  std::string gpu = {};    ///< only measurements of this preset, and the preset of a device that we do not know
  std::string dtype = {};  ///< only rows of this type, in the table's own spelling; empty: all that we know
  std::string op = {};     ///< nccl-tests: the operation, where neither the log nor the file's name has it
  std::optional<std::int64_t> ranks = {};  ///< nccl-tests: where the log does not list them
  std::optional<std::int64_t> nodes = {};
  bool drop_contradictions = false;  ///< leaves out shapes whose times contradict one another, instead of an error
};

/// A measurement and the line that it came from.
struct ImportedRow {
  Measurement measurement;
  int line = 0;
};

struct Imported {
  std::vector<ImportedRow> rows;
  std::map<std::string, int> left_out;  ///< rows by reason
};

struct Importer {
  std::string_view name;
  std::string_view description;
  Imported (*read)(const std::string& path, std::string_view text, const ImportOptions& options);
};

std::span<const Importer> importers();

/// Reads files by one importer. Rows of one file that measured the same are one measurement, their median.
/// @throws UserError also when they contradict one another, and when two files measured the same
struct ImportedFiles {
  std::vector<Measurement> measurements;
  std::map<std::string, int> left_out;
  int merged = 0;  ///< rows that became part of another
};
ImportedFiles import_files(const Importer& importer, const std::vector<std::string>& paths,
                           const ImportOptions& options);

/// The preset that a device of this name seems to be; empty when none fits.
std::string gpu_preset_of(std::string_view device);

/// Sets the preset by the device's name, or by the option where that says nothing.
void name_gpu(Measurement& measurement, const ImportOptions& options);

Imported import_nccl_tests(const std::string& path, std::string_view text, const ImportOptions& options);
Imported import_vidur(const std::string& path, std::string_view text, const ImportOptions& options);
Imported import_aiconfigurator(const std::string& path, std::string_view text, const ImportOptions& options);
Imported import_simumax(const std::string& path, std::string_view text, const ImportOptions& options);
Imported import_cudnn_frontend(const std::string& path, std::string_view text, const ImportOptions& options);
Imported import_superbench(const std::string& path, std::string_view text, const ImportOptions& options);

}  // namespace stepcast
