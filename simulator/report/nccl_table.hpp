#pragma once
/// Collectives as nccl-tests prints them.

#include <cstdint>
#include <string>
#include <vector>

#include "simulator/units/units.hpp"

namespace stepcast {

/// One line: a collective of one size.
struct CollectiveLine {
  Bytes size;  ///< nccl-tests' convention
  std::string algorithm, protocol;
  Seconds time;
  BytesPerSecond bus_bandwidth;
};

struct CollectiveTable {
  std::string operation;  ///< "all_reduce"
  std::string where;      ///< "16 ranks on 2 nodes of dgx-h100, ndr400x8"
  std::vector<CollectiveLine> lines;
};

/// nccl-tests' columns, of float elements; "# " before all that is not data, as its readers expect.
std::string nccl_table_text(const CollectiveTable& table);
std::string nccl_table_json(const CollectiveTable& table);
std::string nccl_table_csv(const CollectiveTable& table);

}  // namespace stepcast
