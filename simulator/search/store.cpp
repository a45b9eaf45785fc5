#include "simulator/search/store.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>
#include <sqlite3.h>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

constexpr int schema_version = 2;

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

/// The keys that any variant varies, in order.
std::vector<const PlanKey*> varied(const Sweep& sweep) {
  std::vector<const PlanKey*> keys;
  for (const PlanKey& key : plan_keys()) {
    for (const Variant& variant : sweep.variants) {
      const bool has =
          std::any_of(variant.axes.begin(), variant.axes.end(), [&](const Axis& axis) { return axis.key == &key; });
      if (!has) continue;
      keys.push_back(&key);
      break;
    }
  }
  return keys;
}

}  // namespace

Store::Store(const std::string& path, const Sweep& sweep, const std::string& version, bool resume)
    : path_(path), sweep_(sweep) {
  // SQLite lets two writers take turns; a sweep must have one.
  const std::string lock = path + ".lock";
  lock_ = open(lock.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  if (lock_ < 0) throw UserError(fmt::format("cannot write {}: {}", lock, std::strerror(errno)));
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    close(lock_);
    throw UserError(
        fmt::format("{} is being written to by another sweep; give this one a file of its own, or wait", path));
  }
  const auto checked = [&](int code) {
    if (code != SQLITE_OK) fail(code, "open");
  };
  try {
    checked(sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr));
    sqlite3_busy_timeout(db_, 10'000);
    execute("PRAGMA journal_mode=WAL");
    execute("PRAGMA synchronous=NORMAL");
    std::string columns;
    for (const PlanKey* key : varied(sweep)) columns += fmt::format(", {} TEXT", key->name);
    execute("BEGIN IMMEDIATE");
    execute(
        "CREATE TABLE IF NOT EXISTS sweep(schema INTEGER, fingerprint TEXT, name TEXT, version TEXT, objective TEXT, "
        "created TEXT)");
    execute("CREATE TABLE IF NOT EXISTS variant(id INTEGER PRIMARY KEY, name TEXT, gpus INTEGER, model TEXT)");
    execute(fmt::format(
        "CREATE TABLE IF NOT EXISTS result(variant INTEGER, configuration INTEGER, step_time_s REAL, bound_s REAL, "
        "memory_gib REAL{}, PRIMARY KEY(variant, configuration)) WITHOUT ROWID",
        columns));
    execute(
        fmt::format("CREATE TABLE IF NOT EXISTS refused(variant INTEGER, configuration INTEGER, reason TEXT, count "
                    "INTEGER{}, PRIMARY "
                    "KEY(variant, configuration, reason)) WITHOUT ROWID",
                    columns));
    execute("CREATE TABLE IF NOT EXISTS tally(shard TEXT, what TEXT, count INTEGER, PRIMARY KEY(shard, what))");
    sqlite3_stmt* row = nullptr;
    checked(sqlite3_prepare_v2(db_, "SELECT fingerprint, (SELECT count(*) FROM result) FROM sweep", -1, &row, nullptr));
    const bool exists = sqlite3_step(row) == SQLITE_ROW;
    const std::string found = exists ? reinterpret_cast<const char*>(sqlite3_column_text(row, 0)) : "";
    const std::int64_t results = exists ? sqlite3_column_int64(row, 1) : 0;
    sqlite3_finalize(row);
    if (exists && found != sweep.fingerprint) {
      throw UserError(
          fmt::format("{} holds the results of another sweep, or of other profiles: choose another file", path));
    }
    if (results > 0 && !resume) {
      throw UserError(fmt::format("{} holds {} results of this sweep: --resume goes on from there", path, results));
    }
    any_known_ = results > 0;
    if (!exists) {
      execute(fmt::format("INSERT INTO sweep VALUES({}, {}, {}, {}, {}, datetime('now'))", schema_version,
                          quoted(sweep.fingerprint), quoted(sweep.name), quoted(version),
                          quoted(sweep.objective->name)));
      for (std::size_t v = 0; v < sweep.variants.size(); ++v) {
        const Variant& variant = sweep.variants[v];
        execute(fmt::format("INSERT INTO variant VALUES({}, {}, {}, {})", v, quoted(variant.name),
                            variant.base.cluster.gpus, quoted(variant.base.model.name)));
      }
    }
    execute("COMMIT");
    std::string marks;
    for (std::size_t i = 0; i < varied(sweep).size(); ++i) marks += ", ?";
    checked(sqlite3_prepare_v2(db_, ("INSERT OR REPLACE INTO result VALUES(?, ?, ?, ?, ?" + marks + ")").c_str(), -1,
                               &insert_, nullptr));
    checked(sqlite3_prepare_v2(db_, ("INSERT OR REPLACE INTO refused VALUES(?, ?, ?, ?" + marks + ")").c_str(), -1,
                               &refuse_, nullptr));
    checked(sqlite3_prepare_v2(
        db_, "SELECT step_time_s, bound_s, memory_gib FROM result WHERE variant=? AND configuration=?", -1, &find_,
        nullptr));
  } catch (...) {
    sqlite3_finalize(insert_);
    sqlite3_finalize(find_);
    sqlite3_finalize(refuse_);
    sqlite3_close(db_);
    close(lock_);
    throw;
  }
}

Store::~Store() {
  try {
    flush();
  } catch (const std::exception&) {  // said before, or the disk is full: what is written stays whole
  }
  sqlite3_finalize(insert_);
  sqlite3_finalize(find_);
  sqlite3_finalize(refuse_);
  sqlite3_close(db_);
  unlink((path_ + ".lock").c_str());
  close(lock_);
}

void Store::fail(int code, const std::string& what) const {
  const std::string said = db_ != nullptr ? sqlite3_errmsg(db_) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: throw UserError(fmt::format("{} is locked by another program ({})", path_, said));
    case SQLITE_FULL:
      throw UserError(fmt::format("no space left for {}: what was written is whole; --resume goes on", path_));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: throw UserError(fmt::format("{} is no SQLite database, or a damaged one ({})", path_, said));
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_IOERR: throw UserError(fmt::format("cannot write {}: {}", path_, said));
    default: throw UserError(fmt::format("{}: {} ({})", path_, said, what));
  }
}

void Store::execute(const std::string& sql) {
  if (const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr); code != SQLITE_OK) fail(code, sql);
}

bool Store::known(std::uint32_t variant, std::uint64_t id, Result& result) {
  if (!any_known_) return false;
  sqlite3_bind_int64(find_, 1, variant);
  sqlite3_bind_int64(find_, 2, static_cast<std::int64_t>(id));
  const bool found = sqlite3_step(find_) == SQLITE_ROW;
  if (found) {
    result.step_s = sqlite3_column_double(find_, 0);
    result.bound_s = sqlite3_column_double(find_, 1);
    result.memory_bytes = sqlite3_column_double(find_, 2) * 1073741824.0;
  }
  sqlite3_reset(find_);
  return found;
}

void Store::record(const Result& result) {
  pending_.push_back(result);
  flush_when_due();
}

void Store::refuse(const Refusal& refusal) {
  refused_.push_back(refusal);
  flush_when_due();
}

void Store::flush_when_due() {
  const auto now = std::chrono::steady_clock::now();
  if (pending_.size() + refused_.size() >= 4096 || now - flushed_ > std::chrono::milliseconds(500)) flush();
}

void Store::flush() {
  flushed_ = std::chrono::steady_clock::now();
  if (pending_.empty() && refused_.empty()) return;
  execute("BEGIN IMMEDIATE");
  for (const Result& result : pending_) {
    sqlite3_bind_int64(insert_, 1, result.variant);
    sqlite3_bind_int64(insert_, 2, static_cast<std::int64_t>(result.id));
    sqlite3_bind_double(insert_, 3, result.step_s);
    sqlite3_bind_double(insert_, 4, result.bound_s);
    sqlite3_bind_double(insert_, 5, result.memory_bytes / 1073741824.0);
    bind_keys(insert_, 6, result.variant, result.id, sweep_.variants[result.variant].axes.size());
    step(insert_);
  }
  for (const Refusal& refusal : refused_) {
    sqlite3_bind_int64(refuse_, 1, refusal.variant);
    sqlite3_bind_int64(refuse_, 2, static_cast<std::int64_t>(refusal.id));
    sqlite3_bind_text(refuse_, 3, refusal.reason.c_str(), static_cast<int>(refusal.reason.size()), SQLITE_TRANSIENT);
    sqlite3_bind_int64(refuse_, 4, static_cast<std::int64_t>(refusal.count));
    bind_keys(refuse_, 5, refusal.variant, refusal.id, refusal.axes);
    step(refuse_);
  }
  pending_.clear();
  refused_.clear();
  execute("COMMIT");
}

void Store::bind_keys(sqlite3_stmt* statement, int first, std::uint32_t variant, std::uint64_t id, std::size_t axes) {
  const Variant& of = sweep_.variants[variant];
  ParallelPlan plan = of.plan(id);
  complete(plan, of.base);
  for (const PlanKey* key : varied(sweep_)) {
    const auto axis =
        std::find_if(of.axes.begin(), of.axes.end(), [&](const Axis& one) { return one.key == key; }) - of.axes.begin();
    const std::string text = text_of(plan, *key);
    if (axis < static_cast<std::ptrdiff_t>(of.axes.size()) && axis >= static_cast<std::ptrdiff_t>(axes)) {
      sqlite3_bind_null(statement, first++);
    } else {
      sqlite3_bind_text(statement, first++, text.c_str(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    }
  }
}

void Store::step(sqlite3_stmt* statement) {
  const int code = sqlite3_step(statement);
  sqlite3_reset(statement);
  if (code == SQLITE_DONE) return;
  const std::string said = sqlite3_errmsg(db_);
  sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  pending_.clear();
  refused_.clear();
  fail(code, said);
}

void Store::finish(const std::string& shard, const Tally& tally) {
  flush();
  execute("BEGIN IMMEDIATE");
  execute("DELETE FROM tally WHERE shard=" + quoted(shard));
  const auto put = [&](const std::string& what, std::uint64_t count) {
    execute(fmt::format("INSERT INTO tally VALUES({}, {}, {})", quoted(shard), quoted(what), count));
  };
  put("considered", tally.considered);
  put("same", tally.same);
  put("pruned", tally.pruned);
  put("simulated", tally.simulated);
  for (const auto& [reason, count] : tally.infeasible) put("infeasible: " + reason, count);
  execute("COMMIT");
}

void Store::merge(const std::string& path) {
  flush();
  if (access(path.c_str(), R_OK) != 0) throw UserError(fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  execute("ATTACH " + quoted(path) + " AS other");
  sqlite3_stmt* row = nullptr;
  const int code = sqlite3_prepare_v2(db_, "SELECT fingerprint, (SELECT count(*) FROM other.tally) FROM other.sweep",
                                      -1, &row, nullptr);
  if (code != SQLITE_OK) fail(code, path);
  const bool exists = sqlite3_step(row) == SQLITE_ROW;
  const std::string found = exists ? reinterpret_cast<const char*>(sqlite3_column_text(row, 0)) : "";
  const bool finished = exists && sqlite3_column_int64(row, 1) > 0;
  sqlite3_finalize(row);
  if (found != sweep_.fingerprint)
    throw UserError(fmt::format("{} holds the results of another sweep, or of other profiles", path));
  if (!finished) throw UserError(fmt::format("{} is of a shard that has not finished: --resume it first", path));
  execute("BEGIN IMMEDIATE");
  execute("INSERT OR REPLACE INTO result SELECT * FROM other.result");
  execute("INSERT OR REPLACE INTO refused SELECT * FROM other.refused");
  execute("INSERT OR REPLACE INTO tally SELECT * FROM other.tally");
  execute("COMMIT");
  execute("DETACH other");
  any_known_ = true;
}

std::vector<Result> Store::results() {
  flush();
  std::vector<Result> all;
  sqlite3_stmt* row = nullptr;
  const int code = sqlite3_prepare_v2(
      db_, "SELECT variant, configuration, step_time_s, bound_s, memory_gib FROM result", -1, &row, nullptr);
  if (code != SQLITE_OK) fail(code, "results");
  while (sqlite3_step(row) == SQLITE_ROW) {
    all.push_back({static_cast<std::uint32_t>(sqlite3_column_int64(row, 0)),
                   static_cast<std::uint64_t>(sqlite3_column_int64(row, 1)), sqlite3_column_double(row, 2),
                   sqlite3_column_double(row, 3), sqlite3_column_double(row, 4) * 1073741824.0});
  }
  sqlite3_finalize(row);
  return all;
}

Tally Store::tally() {
  Tally sum;
  sqlite3_stmt* row = nullptr;
  const int code = sqlite3_prepare_v2(db_, "SELECT what, sum(count) FROM tally GROUP BY what", -1, &row, nullptr);
  if (code != SQLITE_OK) fail(code, "tally");
  while (sqlite3_step(row) == SQLITE_ROW) {
    const std::string what = reinterpret_cast<const char*>(sqlite3_column_text(row, 0));
    const auto count = static_cast<std::uint64_t>(sqlite3_column_int64(row, 1));
    if (what == "considered") sum.considered = count;
    if (what == "same") sum.same = count;
    if (what == "pruned") sum.pruned = count;
    if (what == "simulated") sum.simulated = count;
    constexpr std::string_view infeasible = "infeasible: ";
    if (what.starts_with(infeasible)) sum.infeasible[what.substr(infeasible.size())] = count;
  }
  sqlite3_finalize(row);
  return sum;
}

}  // namespace stepcast
