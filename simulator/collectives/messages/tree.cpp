#include <algorithm>

#include "simulator/collectives/messages/messages.hpp"

namespace stepcast {
namespace {

/// The parent of each node in a binary tree in which node i's height is that of its lowest one bit; -1: the root, node 0.
std::vector<std::int64_t> binary_tree(std::int64_t nodes) {
  std::vector<std::int64_t> parent(static_cast<std::size_t>(nodes), -1);
  for (std::int64_t node = 1; node < nodes; ++node) {
    const std::int64_t bit = node & -node;
    std::int64_t up = (node ^ bit) | (bit << 1);
    if (up >= nodes) up = node ^ bit;
    parent[static_cast<std::size_t>(node)] = up;
  }
  return parent;
}

/// Its twin, in which the inner nodes are the other's leaves: mirrored, or shifted by one where that is the same.
std::vector<std::int64_t> twin_tree(std::int64_t nodes) {
  const std::vector<std::int64_t> first = binary_tree(nodes);
  std::vector<std::int64_t> parent(first.size(), -1);
  const auto renamed = [&](std::int64_t node) { return nodes % 2 == 0 ? nodes - 1 - node : (node + 1) % nodes; };
  for (std::int64_t node = 0; node < nodes; ++node) {
    const std::int64_t up = first[static_cast<std::size_t>(node)];
    parent[static_cast<std::size_t>(renamed(node))] = up < 0 ? -1 : renamed(up);
  }
  return parent;
}

/// Chunks go up the tree one after the other, and down again as soon as the root has them.
void add_tree(const std::vector<std::int64_t>& parent, std::int64_t first_part, std::int64_t chunks, Bytes part,
              MessageSteps& result) {
  std::vector<std::int64_t> depth(parent.size());
  std::int64_t height = 0;
  for (std::size_t i = 0; i < parent.size(); ++i) {
    for (std::int64_t at = parent[i]; at >= 0; at = parent[static_cast<std::size_t>(at)]) ++depth[i];
    height = std::max(height, depth[i]);
  }
  result.steps.resize(std::max(result.steps.size(), static_cast<std::size_t>(2 * height + chunks - 1)));
  for (std::size_t i = 0; i < parent.size(); ++i) {
    if (parent[i] < 0) continue;
    const auto node = static_cast<std::int64_t>(i);
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      result.steps[static_cast<std::size_t>(height - depth[i] + chunk)].push_back(
          {node, parent[i], part, first_part + chunk, 1, true});
      result.steps[static_cast<std::size_t>(height + depth[i] - 1 + chunk)].push_back(
          {parent[i], node, part, first_part + chunk, 1, false});
    }
  }
}

}  // namespace

MessageSteps tree_messages(CollectiveKind kind, Bytes size, MessageShape shape) {
  if (kind != CollectiveKind::all_reduce || shape.n % shape.p != 0) return {};
  constexpr std::int64_t chunks = 32;
  const std::int64_t heads = shape.domains() > 1 ? shape.p : 1;  // a NIC each
  MessageSteps result;
  result.parts = 2 * heads * chunks;
  for (std::int64_t head = 0; head < heads; ++head) {
    for (const bool twin : {false, true}) {
      const std::vector<std::int64_t> domains = twin ? twin_tree(shape.domains()) : binary_tree(shape.domains());
      std::vector<std::int64_t> parent(static_cast<std::size_t>(shape.n), -1);
      for (std::int64_t place = 0; place < shape.n; ++place) {
        const std::int64_t domain = place / shape.p;
        const std::int64_t from_head = (place % shape.p - head + shape.p) % shape.p;
        std::int64_t& up = parent[static_cast<std::size_t>(place)];
        const std::int64_t above = domains[static_cast<std::size_t>(domain)];
        if (from_head > 0)
          up = domain * shape.p + (head + from_head - 1) % shape.p;
        else if (above >= 0)
          up = above * shape.p + head;
      }
      add_tree(parent, (2 * head + twin) * chunks, chunks, size / static_cast<double>(result.parts), result);
    }
  }
  return result;
}

MessageSteps nvls_tree_messages(CollectiveKind kind, Bytes size, MessageShape shape) {
  if (kind != CollectiveKind::all_reduce || shape.domains() < 2 || shape.n % shape.p != 0) return {};
  constexpr std::int64_t chunks = 32;
  // Member g of a node has the node's sum of its share from the switch, and takes it through the trees of its rail.
  MessageSteps result;
  result.parts = 2 * shape.p * chunks;
  const Bytes share = size / static_cast<double>(shape.p);
  auto& first = result.steps.emplace_back();
  for (std::int64_t place = 0; place < shape.n; ++place) {
    first.push_back({place, node_switch, size, 0, result.parts, true});
    first.push_back({node_switch, place, share, place % shape.p * 2 * chunks, 2 * chunks, false});
  }
  MessageSteps trees;
  for (std::int64_t head = 0; head < shape.p; ++head) {
    for (const bool twin : {false, true}) {
      const std::vector<std::int64_t> domains = twin ? twin_tree(shape.domains()) : binary_tree(shape.domains());
      MessageSteps one;
      add_tree(domains, (2 * head + twin) * chunks, chunks, size / static_cast<double>(result.parts), one);
      trees.steps.resize(std::max(trees.steps.size(), one.steps.size()));
      for (std::size_t step = 0; step < one.steps.size(); ++step) {
        for (Message message : one.steps[step]) {
          message.from = message.from * shape.p + head;
          message.to = message.to * shape.p + head;
          trees.steps[step].push_back(message);
        }
      }
    }
  }
  result.steps.insert(result.steps.end(), trees.steps.begin(), trees.steps.end());
  auto& last = result.steps.emplace_back();
  for (std::int64_t place = 0; place < shape.n; ++place) {
    last.push_back({place, node_switch, share, place % shape.p * 2 * chunks, 2 * chunks, false});
    last.push_back({node_switch, place, size, 0, result.parts, false});
  }
  return result;
}

}  // namespace stepcast
