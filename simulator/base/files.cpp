#include "simulator/base/files.hpp"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <unistd.h>

#include <fmt/format.h>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;

/// What the last failed system call said: "No such file or directory".
std::string last_reason() { return std::generic_category().message(errno); }

std::string read_up_to(std::istream& in, std::size_t limit) {
  constexpr std::size_t block = 1 << 16;
  std::string text;
  while (in && text.size() <= limit) {
    const std::size_t had = text.size();
    text.resize(had + block);
    in.read(text.data() + had, static_cast<std::streamsize>(block));
    text.resize(had + static_cast<std::size_t>(in.gcount()));
  }
  return text;
}

/// @param named  what the user calls `path`
void write_pieces(const fs::path& path, const std::string& named, const std::function<void(const Sink&)>& write) {
  errno = 0;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  write([&out](std::string_view piece) { out.write(piece.data(), static_cast<std::streamsize>(piece.size())); });
  out.close();
  if (!out) throw UserError(fmt::format("cannot write {}: {}", named, last_reason()));
}

/// A file that is gone unless it was kept.
class TemporaryFile {
 public:
  /// Beside `target`, for only within one file system is renaming atomic.
  explicit TemporaryFile(const fs::path& target)
      : path_(target.parent_path() / fmt::format(".{}.{}.tmp", target.filename().string(), ::getpid())) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    std::error_code ignored;
    if (!kept_) fs::remove(path_, ignored);
  }

  const fs::path& path() const { return path_; }

  void rename_to(const fs::path& target) {
    std::error_code error;
    fs::rename(path_, target, error);
    if (error) throw UserError(fmt::format("cannot write {}: {}", target.string(), error.message()));
    kept_ = true;
  }

 private:
  fs::path path_;
  bool kept_ = false;
};

}  // namespace

std::string read_file(const std::string& path, std::size_t limit) {
  std::error_code error;
  if (fs::is_directory(path, error)) throw UserError(fmt::format("cannot read {}: it is a folder", path));
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw UserError(fmt::format("cannot read {}: {}", path, last_reason()));
  std::string text = read_up_to(in, limit);
  if (in.bad()) throw UserError(fmt::format("cannot read {}: {}", path, last_reason()));
  if (text.size() > limit) {
    throw UserError(fmt::format("cannot read {}: it is larger than {} MiB", path, limit >> 20));
  }
  if (text.find('\0') != std::string::npos) {
    throw UserError(fmt::format("cannot read {}: it is not a text file (it contains NUL bytes)", path));
  }
  return text;
}

void write_file_atomically(const std::string& path, std::string_view content) {
  write_file_atomically(path, [content](const Sink& sink) { sink(content); });
}

void write_file_atomically(const std::string& path, const std::function<void(const Sink&)>& write) {
  std::error_code error;
  if (fs::is_directory(path, error)) throw UserError(fmt::format("cannot write {}: it is a folder", path));
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) return write_pieces(path, path, write);

  fs::path target = fs::weakly_canonical(path, error);  // through a link, to the file itself
  if (error || target.empty()) target = path;
  TemporaryFile temporary(target);
  write_pieces(temporary.path(), path, write);
  temporary.rename_to(target);
}

}  // namespace stepcast
