#include <array>
#include <cmath>

#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {
namespace {

/// The divisor of `n` nearest to its k-th root from below.
std::size_t side(std::size_t n, int k) {
  auto root = static_cast<std::size_t>(std::pow(static_cast<double>(n), 1.0 / k) + 1e-9);
  while (root > 1 && n % root != 0) --root;
  return std::max<std::size_t>(1, root);
}

}  // namespace

PathFinder torus(Topology& topology, const Nodes& nodes, const Cluster& cluster) {
  Path chips;
  for (const NodeVertices& node : nodes) chips.insert(chips.end(), node.gpus.begin(), node.gpus.end());
  constexpr std::size_t largest_plane = 256;  // a TPU v5e pod is 16 x 16
  const int dimensions = chips.size() <= largest_plane ? 2 : 3;
  std::array<std::size_t, 3> sides{1, 1, 1};
  std::size_t left = chips.size();
  for (int d = 0; d < dimensions - 1; ++d) {
    sides[static_cast<std::size_t>(d)] = side(left, dimensions - d);
    left /= sides[static_cast<std::size_t>(d)];
  }
  sides[static_cast<std::size_t>(dimensions - 1)] = left;
  const BytesPerSecond link = *cluster.fabric.nic.bandwidth / (2.0 * dimensions);
  std::size_t stride = 1;
  for (const std::size_t length : sides) {
    for (std::size_t i = 0; length > 1 && i < chips.size(); ++i) {
      const std::size_t place = i / stride % length;
      const std::size_t next = place + 1 < length ? i + stride : i - place * stride;
      if (length == 2 && next < i) continue;  // one link joins two
      topology.connect(chips[i], chips[next], link, cluster.fabric.nic.latency);
    }
    stride *= length;
  }
  const VertexIndex first = chips.front();
  return [sides, first](const Topology&, VertexIndex from, VertexIndex to, std::uint64_t, Path& path) {
    auto at = static_cast<std::size_t>(from - first);
    const auto end = static_cast<std::size_t>(to - first);
    std::size_t unit = 1;
    for (const std::size_t length : sides) {
      // The shorter way round.
      const std::size_t target = end / unit % length;
      for (std::size_t place = at / unit % length; place != target;) {
        const bool forward = (target + length - place) % length <= length / 2;
        const std::size_t next = (forward ? place + 1 : place + length - 1) % length;
        at = at - place * unit + next * unit;
        place = next;
        path.push_back(first + static_cast<VertexIndex>(at));
      }
      unit *= length;
    }
  };
}

}  // namespace stepcast
