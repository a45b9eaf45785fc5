#pragma once
/// The vocabulary of a kind of file, in one table: its reader checks against it and its help prints it, so that neither can
/// fall behind the other.

#include <string>
#include <string_view>
#include <vector>

namespace stepcast {

struct FileKey {
  std::string section;  ///< path of the map that it stands in; "": at the top
  std::string key;
  std::string value;  ///< what may stand there
  std::string meaning;
};
using FileKeys = std::vector<FileKey>;

/// The keys of one section.
std::vector<std::string> vocabulary_of(const FileKeys& keys, std::string_view section);

/// A line for each key. @param unnamed  a section whose keys stand without its name
std::string help_of(const FileKeys& keys, std::string_view unnamed = "");

}  // namespace stepcast
