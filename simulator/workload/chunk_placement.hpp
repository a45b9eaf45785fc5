#pragma once
/// Which part of the model each chunk of a pipeline rank is, and the way that a microbatch takes through them.

namespace stepcast {

enum class ChunkPlacement {
  loop,      ///< round and round the ranks: chunk c of rank r is part c p + r (Megatron's virtual stages)
  vee,       ///< down the ranks and back up: chunk 1 of rank r is part 2p - 1 - r (ZB-V)
  both_ways  ///< two whole models in opposite directions, half of the microbatches each (DualPipe)
};

/// A place on one of the ways.
struct PathPoint {
  int path = 0;
  int position = 0;

  bool operator==(const PathPoint&) const = default;
};

inline int paths(ChunkPlacement placement) { return placement == ChunkPlacement::both_ways ? 2 : 1; }

/// Parts that the model is cut into.
inline int path_length(ChunkPlacement placement, int stages, int chunks) {
  return placement == ChunkPlacement::both_ways ? stages : stages * chunks;
}

inline PathPoint path_point(ChunkPlacement placement, int stages, int stage, int chunk) {
  switch (placement) {
    case ChunkPlacement::loop: return {0, chunk * stages + stage};
    case ChunkPlacement::vee: return {0, chunk == 0 ? stage : 2 * stages - 1 - stage};
    case ChunkPlacement::both_ways: return {chunk, chunk == 0 ? stage : stages - 1 - stage};
  }
  return {};
}

}  // namespace stepcast
