#pragma once
/// The parts of a step's time under the names that people read.

#include <array>

#include "simulator/report/report.hpp"

namespace stepcast {

struct PartOfTime {
  const char* label;
  const char* column;  ///< a short name for a table's head
  Seconds Breakdown::*time;
};

inline constexpr std::array<PartOfTime, 9> parts_of_time{{
    {"compute", "compute", &Breakdown::compute},
    {"tensor-parallel comm", "tp", &Breakdown::tp_comm_exposed},
    {"context-parallel comm", "cp", &Breakdown::cp_comm_exposed},
    {"expert-parallel comm", "ep", &Breakdown::ep_comm_exposed},
    {"data-parallel comm", "dp", &Breakdown::dp_comm_exposed},
    {"pipeline comm", "pp", &Breakdown::pp_comm_exposed},
    {"pipeline bubble", "bubble", &Breakdown::bubble},
    {"optimizer", "optimizer", &Breakdown::optimizer},
    {"host and other", "host", &Breakdown::host_other},
}};

}  // namespace stepcast
