#include "simulator/input/file_keys.hpp"

#include "simulator/base/text_table.hpp"

namespace stepcast {

std::vector<std::string> vocabulary_of(const FileKeys& keys, std::string_view section) {
  std::vector<std::string> names;
  for (const FileKey& key : keys) {
    if (key.section == section) names.push_back(key.key);
  }
  return names;
}

std::string help_of(const FileKeys& keys, std::string_view unnamed) {
  TextTable table({{""}, {""}, {""}, {""}});
  for (const FileKey& key : keys) {
    const bool plain = key.section.empty() || key.section == unnamed;
    table.add_row({"", plain ? key.key : key.section + "." + key.key, key.value, key.meaning});
  }
  return table.to_string();
}

}  // namespace stepcast
