#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "simulator/collectives/collective_time.hpp"
#include "simulator/collectives/messages/run.hpp"
#include "simulator/engine/messages.hpp"
#include "simulator/report/nccl_table.hpp"
#include "simulator/units/text.hpp"
#include "tools/stepcast/cluster_option.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  std::string operation;
  ClusterOption cluster;
  std::string ranks;
  std::string topology, bandwidth, latency, reduce_bandwidth, endpoint_delay, grain = "1 ps";
  std::string sizes = "1KiB:4GiB";
  std::string algorithm, protocol;
  std::string nvls = "on", sharp = "off", pxn = "on", registered = "off";
  int channels = 0;
  std::int64_t chunks = 1;
  std::string executor = "dataflow", fold = "on";
  std::string format = "text";
};

// --- names -------------------------------------------------------------------------------------------------------

struct Operation {
  std::string_view name;
  CollectiveKind kind;
};
constexpr Operation operations[] = {
    {"all_reduce", CollectiveKind::all_reduce},
    {"all_gather", CollectiveKind::all_gather},
    {"reduce_scatter", CollectiveKind::reduce_scatter},
    {"all_to_all", CollectiveKind::all_to_all},
    {"broadcast", CollectiveKind::broadcast},
    {"reduce", CollectiveKind::reduce},
    {"scatter", CollectiveKind::scatter},
    {"gather", CollectiveKind::gather},
    {"send_recv", CollectiveKind::send_recv},
};

struct ProtocolName {
  std::string_view name;
  Protocol protocol;
};
constexpr ProtocolName protocol_names[] = {
    {"LL", Protocol::ll}, {"LL128", Protocol::ll128}, {"Simple", Protocol::simple}};

/// Hops from one rank to the farthest, each with the link's latency.
struct TopologyRow {
  std::string_view name;
  int hops;
};
constexpr TopologyRow topologies[] = {
    {"ring", 1},      // to the neighbour directly
    {"switch", 2},    // up and down
    {"fat-tree", 4},  // a leaf, the spine, a leaf: the slowest message of a step sets its pace
};

struct ExecutorName {
  std::string_view name;
  RingExecutor executor;
};
constexpr ExecutorName executors[] = {{"dataflow", RingExecutor::dataflow}, {"events", RingExecutor::events}};

struct Format {
  std::string_view name;
  std::string (*write)(const CollectiveTable&);
};
constexpr Format table_formats[] = {{"text", nccl_table_text}, {"json", nccl_table_json}, {"csv", nccl_table_csv}};

// --- quantities --------------------------------------------------------------------------------------------------

template <class Q>
Q quantity(const std::string& option, const std::string& text) {
  const auto value = parse_quantity<Q>(text);
  if (!value || *value < Q(0))
    throw UserError(fmt::format("{} is a number with a unit ({}), not '{}'", option, unit_names<Q>(), text));
  return *value;
}

/// "1KiB:4GiB" doubles from the first to the last; "1 MiB,16 MiB" lists.
std::vector<Bytes> parse_sizes(const std::string& text) {
  std::vector<Bytes> sizes;
  const auto size = [&](const std::string& part) {
    const Bytes bytes = quantity<Bytes>("--sizes", part);
    constexpr Bytes most = 1e9 * 1.0_GB;
    if (bytes < 1.0_B || bytes > most) throw UserError(fmt::format("a size is from 1 B to 10^9 GB, not '{}'", part));
    return bytes;
  };
  if (const std::size_t colon = text.find(':'); colon != std::string::npos) {
    const Bytes last = size(text.substr(colon + 1));
    for (Bytes bytes = size(text.substr(0, colon)); bytes <= last; bytes *= 2) sizes.push_back(bytes);
    if (sizes.empty()) throw UserError(fmt::format("--sizes {} runs backwards", text));
    return sizes;
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    sizes.push_back(size(text.substr(begin, comma - begin)));
    begin = comma + 1;
  }
  return sizes;
}

// --- a real cluster ----------------------------------------------------------------------------------------------

constexpr std::string_view algorithm_of_profile = "profile";

CollectiveOptions nccl_options(const Options& options) {
  CollectiveOptions nccl;
  if (!options.algorithm.empty()) nccl.algorithm = chosen("algorithm", options.algorithm, list_collectives()).algorithm;
  if (!options.protocol.empty()) nccl.protocol = chosen("protocol", options.protocol, protocol_names).protocol;
  nccl.nvls = switched_on("--nvls", options.nvls);
  nccl.sharp = switched_on("--sharp", options.sharp);
  nccl.pxn = switched_on("--pxn", options.pxn);
  nccl.registered = switched_on("--registered", options.registered);
  nccl.channels = options.channels;
  if (options.channels < 0 || options.channels > 64) throw UserError("--channels is a number from 0 to 64");
  return nccl;
}

CollectiveLine nccl_line(const CollectiveCall& call) {
  const CollectiveChoice choice = choose_collective(call);
  if (!choice.offered) {
    throw UserError(fmt::format("no algorithm for {} on this group with these options: stepcast list collectives",
                                name_of(call.kind)));
  }
  return {call.size, std::string(row_of(choice.algorithm).name), std::string(name_of(choice.protocol)), choice.time,
          bus_bandwidth(call.kind, call.group.ranks, call.size, choice.time)};
}

/// GPUs that NCCL's tables do not know: a ring with the profiles' latencies and bandwidths.
CollectiveLine profile_line(const CollectiveCall& call) {
  if (call.kind == CollectiveKind::scatter || call.kind == CollectiveKind::gather)
    throw UserError(fmt::format("{} needs a GPU that NCCL's tables know", name_of(call.kind)));
  const Seconds time = call.kind == CollectiveKind::send_recv
                           ? point_to_point_time(call.size, call.group.crosses_network(), call.cluster)
                           : collective_time(call.kind, call.size, call.group, call.cluster);
  return {call.size, std::string(algorithm_of_profile), "-", time,
          bus_bandwidth(call.kind, call.group.ranks, call.size, time)};
}

/// The same message by message, over the cluster's links: what the wires alone take, whoever shares them.
class OnTheWires {
 public:
  OnTheWires(const Cluster& cluster, const GroupShape& group, std::span<const RankRange> ranges)
      : cluster_(cluster), topology_(build_topology(cluster, {.achieved = true})), group_(group) {
    std::map<std::int64_t, std::int64_t> in_domain;
    for (const RankRange& range : ranges) {
      for (std::int64_t rank = range.first; rank <= range.last; ++rank) {
        ranks_.push_back(rank);
        ++in_domain[rank / cluster.domain_gpus()];
      }
    }
    for (const auto& [domain, members] : in_domain) {
      if (members == in_domain.begin()->second) continue;
      throw UserError(fmt::format("--executor events needs as many ranks in every NVLink domain: {} and {} are not",
                                  in_domain.begin()->second, members));
    }
  }

  CollectiveLine line(const CollectiveCall& call) const {
    Algorithm algorithm = call.kind == CollectiveKind::all_to_all ? Algorithm::pairwise : Algorithm::ring;
    if (call.options.algorithm)
      algorithm = *call.options.algorithm;
    else if (nccl_generation(cluster_.gpu.generation) != nullptr)
      algorithm = choose_collective(call).algorithm;
    const MessagesRun run = run_messages(messages_of(algorithm, call.kind, call.size, group_), topology_, ranks_);
    const Seconds time = run.time.seconds();
    return {call.size, std::string(row_of(algorithm).name), "-", time,
            bus_bandwidth(call.kind, group_.ranks, call.size, time)};
  }

 private:
  const Cluster& cluster_;
  Topology topology_;
  GroupShape group_;
  std::vector<std::int64_t> ranks_;
};

CollectiveTable on_cluster(const Options& options, CollectiveKind kind) {
  const CollectiveOptions nccl = nccl_options(options);
  constexpr std::int64_t unknown = 0;
  Cluster cluster = read_cluster_option(options.cluster, unknown);
  std::vector<RankRange> ranks;
  if (options.ranks.empty()) {
    ranks = {{0, cluster.gpus - 1}};
  } else {
    // Without --nodes a node preset stands for as many nodes as the ranks need.
    const bool open = options.cluster.cluster.empty() && options.cluster.nodes == 0;
    constexpr std::int64_t most_gpus = 100'000'000;
    ranks = parse_ranks(options.ranks, open ? most_gpus : cluster.gpus);
    if (open) cluster = read_cluster_option(options.cluster, ranks.back().last + 1);
  }
  const GroupShape group = group_shape(cluster, ranks);
  const bool known = nccl_generation(cluster.gpu.generation) != nullptr;

  CollectiveTable table;
  table.operation = std::string(name_of(kind));
  table.where = fmt::format("{} ranks on {} of {}{}{}", group.ranks,
                            group.domains() == 1 ? "one NVLink domain" : fmt::format("{} domains", group.domains()),
                            cluster.node.name, group.crosses_network() ? ", " : "",
                            group.crosses_network() ? cluster.fabric.name : "");
  const bool by_message = chosen("executor", options.executor, executors).executor == RingExecutor::events;
  if (by_message && group.ranks < 2) throw UserError("--executor events needs two ranks or more");
  std::optional<OnTheWires> wires;
  if (by_message) wires.emplace(cluster, group, ranks);
  for (const Bytes size : parse_sizes(options.sizes)) {
    const CollectiveCall call{kind, size, group, cluster, nccl};
    table.lines.push_back(wires ? wires->line(call) : known ? nccl_line(call) : profile_line(call));
  }
  return table;
}

// --- equal links, no software: the forms that other simulators were checked against -------------------------------

RingOperation ring_operation(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::all_reduce: return RingOperation::all_reduce;
    case CollectiveKind::all_gather: return RingOperation::all_gather;
    case CollectiveKind::reduce_scatter: return RingOperation::reduce_scatter;
    default:
      throw UserError(fmt::format(
          "--topology simulates all_reduce, all_gather, reduce_scatter (ring) and all_to_all, not {}", name_of(kind)));
  }
}

std::int64_t rank_count(const Options& options) {
  const auto ranks = options.ranks.find_first_not_of("0123456789") == std::string::npos && !options.ranks.empty()
                         ? std::strtoll(options.ranks.c_str(), nullptr, 10)
                         : 0;
  constexpr std::int64_t most = 1'000'000;
  if (ranks < 2 || ranks > most) throw UserError(fmt::format("with --topology, --ranks is how many: 2 to {}", most));
  return ranks;
}

CollectiveTable on_topology(const Options& options, CollectiveKind kind) {
  const TopologyRow& topology = chosen("topology", options.topology, topologies);
  if (options.cluster.given()) throw UserError("a cluster or --topology, not both");
  if (options.bandwidth.empty() || options.latency.empty())
    throw UserError("--topology needs --bandwidth and --latency of its links");
  if (!options.algorithm.empty() && options.algorithm != "ring" && options.algorithm != "pairwise")
    throw UserError(fmt::format("--topology knows the algorithms ring and pairwise, not '{}'", options.algorithm));

  RingMessages ring;
  ring.ranks = rank_count(options);
  ring.bandwidth = quantity<BytesPerSecond>("--bandwidth", options.bandwidth);
  if (ring.bandwidth <= BytesPerSecond(0)) throw UserError("--bandwidth must be above zero");
  ring.latency = topology.hops * quantity<Seconds>("--latency", options.latency);
  if (!options.reduce_bandwidth.empty())
    ring.reduce_bandwidth = quantity<BytesPerSecond>("--reduce-bandwidth", options.reduce_bandwidth);
  if (!options.endpoint_delay.empty())
    ring.endpoint_delay = quantity<Seconds>("--endpoint-delay", options.endpoint_delay);
  ring.chunks = options.chunks;
  ring.grain = to_ticks(quantity<Seconds>("--grain", options.grain));
  const RingExecutor executor = chosen("executor", options.executor, executors).executor;
  const bool fold = switched_on("--fold", options.fold);
  const bool pairwise = kind == CollectiveKind::all_to_all;
  if (!pairwise) ring.operation = ring_operation(kind);
  if (pairwise && topology.name == "ring")
    throw UserError("all_to_all needs a switch or fat-tree: a ring has no link to every peer");

  CollectiveTable table;
  table.operation = std::string(name_of(kind));
  table.where = fmt::format("{} ranks, {}, {} and {} a link", ring.ranks, topology.name, to_text(ring.bandwidth),
                            to_text(quantity<Seconds>("--latency", options.latency)));
  for (const Bytes size : parse_sizes(options.sizes)) {
    ring.size = size;
    // A rank's link lets one byte after the other in: n-1 of n parts, whoever they are for.
    const double n = static_cast<double>(ring.ranks);
    const Seconds injected = ring.latency + (n - 1) / n * size / ring.bandwidth + 2.0 * ring.endpoint_delay;
    const Seconds time = pairwise ? injected : simulate(ring, executor, fold).time.seconds();
    table.lines.push_back(
        {size, pairwise ? "pairwise" : "ring", "-", time, bus_bandwidth(kind, ring.ranks, size, time)});
  }
  return table;
}

Exit collective(const Options& options) {
  const Format& format = chosen("format", options.format, table_formats);
  if (options.operation.empty()) throw UserError(fmt::format("name an operation: {}", names_of(operations)));
  const CollectiveKind kind = chosen("operation", options.operation, operations).kind;
  print_result(format.write(options.topology.empty() ? on_cluster(options, kind) : on_topology(options, kind)));
  return Exit::done;
}

}  // namespace

Action add_collective(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("OP", options->operation, names_of(operations))->type_name("");
  app.add_option("--sizes", options->sizes, "First and last, doubling; or a list")
      ->type_name("A:B")
      ->capture_default_str();
  app.add_option("--ranks", options->ranks, "0-63 or 0,8,16; with --topology how many")->type_name("LIST");
  add_cluster_options(app, options->cluster, ClusterName::option);
  app.add_option("--algorithm", options->algorithm, "NCCL's choice when left out: stepcast list collectives")
      ->type_name("NAME");
  app.add_option("--protocol", options->protocol, names_of(protocol_names))->type_name("NAME");
  app.add_option("--nvls", options->nvls, "NVSwitches add up")->type_name("on|off")->capture_default_str();
  app.add_option("--sharp", options->sharp, "Network switches add up")->type_name("on|off")->capture_default_str();
  app.add_option("--pxn", options->pxn, "all_to_all through the GPU beside the NIC")
      ->type_name("on|off")
      ->capture_default_str();
  app.add_option("--registered", options->registered, "Buffers in symmetric windows")
      ->type_name("on|off")
      ->capture_default_str();
  app.add_option("--channels", options->channels, "At least so many (NCCL_MIN_CTAS)")->type_name("N");
  app.add_option("--topology", options->topology, "Equal links instead of a cluster: " + names_of(topologies))
      ->type_name("NAME");
  app.add_option("--bandwidth", options->bandwidth, "... of each link, '50 GiB/s'")->type_name("RATE");
  app.add_option("--latency", options->latency, "... of each link, '500 ns'")->type_name("TIME");
  app.add_option("--reduce-bandwidth", options->reduce_bandwidth, "Memory behind the local reduction")
      ->type_name("RATE");
  app.add_option("--endpoint-delay", options->endpoint_delay, "Software at each end of a message")->type_name("TIME");
  app.add_option("--chunks", options->chunks, "Parts of the buffer, one after the other")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--grain", options->grain, "Of the clock")->type_name("TIME")->capture_default_str();
  app.add_option("--executor", options->executor,
                 names_of(executors) + "; on a cluster events sends every message over its links")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--fold", options->fold, "One rank for all")->type_name("on|off")->capture_default_str();
  app.add_option("--format", options->format, names_of(table_formats))->type_name("FORMAT")->capture_default_str();
  app.footer(
      "Examples:\n"
      "  stepcast collective all_reduce --cluster dgx-h100-superpod --ranks 0-63\n"
      "  stepcast collective all_gather --node dgx-h100 --fabric ndr400x8 --ranks 0,8,16,24 --sizes 1MiB:1GiB\n"
      "  stepcast collective all_to_all --cluster meta-24k-roce --ranks 0-63 --algorithm pxn --executor events\n"
      "  stepcast collective all_reduce --topology ring --ranks 64 --bandwidth '50 GiB/s' --latency '500 ns' --sizes "
      "1GiB");
  return [options] { return collective(*options); };
}

}  // namespace stepcast::cli
