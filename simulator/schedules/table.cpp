#include "simulator/schedules/schedule.hpp"

namespace stepcast {

std::span<const Schedule> list_schedules() {
  static const Schedule rows[] = {no_pipeline, gpipe, one_f_one_b, interleaved_one_f_one_b};
  return rows;
}

const Schedule* find_schedule(std::string_view name) {
  for (const Schedule& schedule : list_schedules()) {
    if (schedule.name == name) return &schedule;
  }
  return nullptr;
}

}  // namespace stepcast
