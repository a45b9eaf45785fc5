#pragma once
/// Results of a sweep in an SQLite file: what was simulated is never simulated again, and anyone can query it.
///
///   sweep    one row: fingerprint, name, version, profiles, created
///   variant  id, name, gpus
///   result   variant, configuration, step_time_s, bound_s, memory_gib, a column for each key that is varied; primary key
///            (variant, configuration)
///   refused  variant, configuration, reason, count, and the same columns: how many plans with these values cannot run for that
///            reason. Values of the first keys alone where there are more than 200,000 combinations, the others are null;
///            of searches by one process
///   tally    shard, what, count: what became of the configurations of each shard, when it was finished
///
/// Written ahead (WAL) in transactions of at most half a second: a process that is killed loses no more than that, and
/// simulates it again. One writer at a time.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "simulator/search/search.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace stepcast {

class Store : public Recorder {
 public:
  /// Opens or makes a store for this sweep.
  /// @param resume  go on in a file that has results; without it such a file is refused
  /// @throws UserError when the file is another sweep's, is being written to, is damaged, or cannot be written
  Store(const std::string& path, const Sweep& sweep, const std::string& version, bool resume);
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  bool known(std::uint32_t variant, std::uint64_t id, Result& result) override;
  void record(const Result& result) override;
  void refuse(const Refusal& refusal) override;
  /// Writes the tally of a finished shard ("0/1": all of it), and everything that is not yet on disk.
  void finish(const std::string& shard, const Tally& tally);

  /// Adds the results of a finished shard's store. @throws UserError when it is another sweep's
  void merge(const std::string& path);
  /// Every result, and the sum of the tallies.
  std::vector<Result> results();
  Tally tally();

 private:
  void execute(const std::string& sql);
  void flush();
  void flush_when_due();
  /// Columns of the keys that are varied; of the first axes alone.
  void bind_keys(sqlite3_stmt* statement, int first, std::uint32_t variant, std::uint64_t id, std::size_t axes);
  void step(sqlite3_stmt* statement);
  [[noreturn]] void fail(int code, const std::string& what) const;

  const std::string path_;
  const Sweep& sweep_;
  int lock_ = -1;
  sqlite3* db_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  sqlite3_stmt* find_ = nullptr;
  sqlite3_stmt* refuse_ = nullptr;
  std::vector<Result> pending_;
  std::vector<Refusal> refused_;
  std::chrono::steady_clock::time_point flushed_ = std::chrono::steady_clock::now();
  bool any_known_ = false;
};

}  // namespace stepcast
