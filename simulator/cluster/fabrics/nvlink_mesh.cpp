#include "simulator/base/error.hpp"
#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {
namespace {

/// Of the DGX-1: GPU, GPU, links between them.
constexpr int cube_mesh[][3] = {{0, 1, 1}, {0, 2, 1}, {0, 3, 2}, {0, 4, 2}, {1, 2, 2}, {1, 3, 1}, {1, 5, 2}, {2, 3, 2},
                                {2, 6, 1}, {3, 7, 1}, {4, 5, 1}, {4, 6, 1}, {4, 7, 2}, {5, 6, 2}, {5, 7, 1}, {6, 7, 2}};
constexpr double cube_links = 6;

}  // namespace

void nvlink_mesh(Topology& topology, NodeVertices& node, const Cluster& cluster) {
  const LinkTier& tier = cluster.node.intra;
  if (node.gpus.size() == 8 && cluster.node.interconnect == "nvlink-mesh") {
    for (const auto& [a, b, links] : cube_mesh)
      topology.connect(node.gpus[a], node.gpus[b], *tier.bandwidth * (links / cube_links), tier.latency);
    return;
  }
  const double others = static_cast<double>(cluster.gpus_per_node - 1);
  for (std::size_t a = 0; a < node.gpus.size(); ++a) {
    for (std::size_t b = a + 1; b < node.gpus.size(); ++b)
      topology.connect(node.gpus[a], node.gpus[b], *tier.bandwidth / others, tier.latency);
  }
}

void mesh_path(const Topology& topology, VertexIndex from, VertexIndex to, std::uint64_t turn, Path& path) {
  if (topology.between(from, to) == nullptr) {
    Path middle;
    for (const VertexIndex other : topology.neighbours(from, Device::gpu))
      if (topology.between(other, to) != nullptr) middle.push_back(other);
    CHECK(!middle.empty(), "a mesh has no GPUs that are three apart");
    path.push_back(middle[turn % middle.size()]);
  }
  path.push_back(to);
}

}  // namespace stepcast
