#pragma once
/// Naming a cluster on the command line.

#include <string>

#include <CLI/CLI.hpp>

#include "simulator/cluster/cluster.hpp"

namespace stepcast::cli {

/// A preset's name or a file; or a node, a fabric and how many.
struct ClusterOption {
  std::string cluster, node, fabric;
  std::int64_t nodes = 0;  ///< 0: as many as the cluster has, or enough

  bool given() const { return !cluster.empty() || !node.empty(); }
};

/// --node, --fabric, --nodes; and --cluster, unless the command takes the name as its argument.
enum class ClusterName { option, argument };
void add_cluster_options(CLI::App& app, ClusterOption& option, ClusterName name);

/// @param gpus  how many are needed at least where --nodes does not say how many there are
/// @throws UserError for an unknown name, neither or both ways of naming it
Cluster read_cluster_option(const ClusterOption& option, std::int64_t gpus);

}  // namespace stepcast::cli
