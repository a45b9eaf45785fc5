#pragma once
/// Pipeline schedules: the order in which one rank runs its passes.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stepcast {

struct PipelineShape {
  int stages = 1;                 ///< p
  int chunks = 1;                 ///< v: model chunks per rank
  std::int64_t microbatches = 1;  ///< m
};

enum class PassKind : std::uint8_t { forward, backward };

struct PassStep {
  PassKind kind = PassKind::forward;
  std::int32_t microbatch = 0;
  std::int32_t chunk = 0;
  bool exchange_after = true;  ///< a framework whose exchange blocks talks to its neighbours after this pass

  bool operator==(const PassStep&) const = default;
};

struct Schedule {
  std::string_view name;
  std::string_view description;
  /// Why this shape cannot run, or empty.
  std::string (*refuses)(const PipelineShape&);
  /// The passes of `stage`, in order.
  std::vector<PassStep> (*order)(const PipelineShape&, int stage);
  /// Most chunk-activations that `stage` holds at once, in chunks.
  std::int64_t (*chunks_in_flight)(const PipelineShape&, int stage);
};

std::span<const Schedule> list_schedules();

/// Null when there is none of that name.
const Schedule* find_schedule(std::string_view name);

extern const Schedule no_pipeline;
extern const Schedule gpipe;
extern const Schedule one_f_one_b;
extern const Schedule interleaved_one_f_one_b;

}  // namespace stepcast
