// The only file that knows Boost.Graph.

#include <limits>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>

#include "simulator/cluster/topology.hpp"

namespace stepcast {

BytesPerSecond Topology::bisection() const {
  using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
  using Graph = boost::adjacency_list<
      boost::vecS, boost::vecS, boost::directedS, boost::no_property,
      boost::property<boost::edge_capacity_t, std::int64_t,
                      boost::property<boost::edge_residual_capacity_t, std::int64_t,
                                      boost::property<boost::edge_reverse_t, Traits::edge_descriptor>>>>;
  if (gpus_.size() < 2) return BytesPerSecond(0);
  Graph graph(vertices_.size() + 2);
  const auto capacity = get(boost::edge_capacity, graph);
  const auto reverse = get(boost::edge_reverse, graph);
  const auto join = [&](std::size_t a, std::size_t b, std::int64_t rate, std::int64_t rate_back) {
    const auto forward = add_edge(a, b, graph).first;
    const auto backward = add_edge(b, a, graph).first;
    capacity[forward] = rate;
    capacity[backward] = rate_back;
    reverse[forward] = backward;
    reverse[backward] = forward;
  };
  // Whole MB/s: sums over a million links stay exact in 64 bits.
  const auto whole = [](BytesPerSecond rate) { return static_cast<std::int64_t>(rate.si() / 1e6); };
  for (const Link& link : links_) {
    // Both directions of a link are each other's reverse edge.
    if (link.from < link.to)
      join(static_cast<std::size_t>(link.from), static_cast<std::size_t>(link.to), whole(link.bandwidth),
           whole(between(link.to, link.from)->bandwidth));
  }
  const std::size_t source = vertices_.size(), sink = source + 1;
  constexpr std::int64_t unbounded = std::numeric_limits<std::int64_t>::max() / (1 << 20);
  for (std::size_t rank = 0; rank < gpus_.size(); ++rank) {
    const auto gpu = static_cast<std::size_t>(gpus_[rank]);
    if (rank < gpus_.size() / 2)
      join(source, gpu, unbounded, 0);
    else
      join(gpu, sink, unbounded, 0);
  }
  return BytesPerSecond(static_cast<double>(push_relabel_max_flow(graph, source, sink)) * 1e6);
}

}  // namespace stepcast
