#include "simulator/parallelism/dispatchers.hpp"

#include <algorithm>

namespace stepcast {

double chance_of_visit(double experts, double copies, double among) {
  double none = 1;
  for (double chosen = 0; chosen < copies; ++chosen) {
    none *= std::max(0.0, experts - among - chosen) / (experts - chosen);
  }
  return 1 - none;
}

double chance_of_visit(const TokenExchange& exchange, double among) {
  const double of_a_group = exchange.experts / exchange.groups;
  if (among > of_a_group) {
    const double chosen = chance_of_visit(exchange.groups, exchange.groups_taken, among / of_a_group);
    return std::min(chosen, chance_of_visit(exchange.experts, exchange.copies, among));
  }
  const double eligible = exchange.groups_taken / exchange.groups;
  return eligible * chance_of_visit(exchange.experts * eligible, exchange.copies, among);
}

namespace {

struct Layout {
  double ranks, domain, domains;  ///< ranks of the group, of a domain of it, and its domains
  explicit Layout(const GroupShape& group)
      : ranks(static_cast<double>(group.ranks)),
        domain(static_cast<double>(std::min(group.per_domain, group.ranks))),
        domains(ranks / domain) {}
};

/// A copy of the token for each of its experts (Megatron-LM MoEAlltoAllTokenDispatcher, all_to_all_single).
Collective every_copy(const TokenExchange& exchange) {
  return {.kind = CollectiveKind::all_to_all,
          .group = GroupKind::expert,
          .size = Bytes(exchange.tokens * exchange.copies * exchange.row)};
}
double every_row(const TokenExchange& exchange) { return exchange.tokens * exchange.copies; }

/// One copy to each node that the token visits, which there goes on over NVLink to each of its ranks (DeepEP, and
/// HybridEP alike: DeepSeek-V3, arXiv 2412.19437 section 3.2.2). Between nodes it travels on its own rail.
Collective one_copy_a_node(const TokenExchange& exchange) {
  const Layout at(exchange.group);
  const double to_a_node = chance_of_visit(exchange, exchange.experts / at.domains);
  const double to_a_rank = chance_of_visit(exchange, exchange.experts / at.ranks);
  const double outside = exchange.tokens * (at.domains - 1) * to_a_node;
  const double inside = exchange.tokens * at.domains * (at.domain - 1) * to_a_rank;
  const ExchangeBytes bytes{Bytes(inside * exchange.row), Bytes(outside * exchange.row)};
  return {.kind = CollectiveKind::all_to_all,
          .group = GroupKind::expert,
          .size = bytes.inside + bytes.outside,
          .exchange = bytes};
}
double one_row_a_rank(const TokenExchange& exchange) {
  const Layout at(exchange.group);
  return exchange.tokens * at.ranks * chance_of_visit(exchange, exchange.experts / at.ranks);
}

/// Every token to every rank, and the sum of what all ranks made of it back (Megatron-LM MoEAllGatherTokenDispatcher).
Collective gather_all(const TokenExchange& exchange) {
  return {.kind = CollectiveKind::all_gather,
          .group = GroupKind::expert,
          .size = Bytes(exchange.tokens * Layout(exchange.group).ranks * exchange.row)};
}
Collective scatter_all(const TokenExchange& exchange) {
  Collective collective = gather_all(exchange);
  collective.kind = CollectiveKind::reduce_scatter;
  return collective;
}
double every_token(const TokenExchange& exchange) { return exchange.tokens * Layout(exchange.group).ranks; }

constexpr Dispatcher rows[] = {
    {"alltoall", "a copy for each expert of a token, flat all_to_all (Megatron-Core)", every_copy, every_copy,
     every_row, true},
    {"allgather", "every token to every rank (Megatron-Core)", gather_all, scatter_all, every_token, false},
    {"deepep", "one copy a node, forwarded over NVLink (DeepEP)", one_copy_a_node, one_copy_a_node, one_row_a_rank,
     false},
    {"hybridep", "one copy a node, forwarded over NVLink (HybridEP)", one_copy_a_node, one_copy_a_node, one_row_a_rank,
     false},
};

}  // namespace

std::span<const Dispatcher> list_dispatchers() { return rows; }

const Dispatcher* find_dispatcher(std::string_view name) {
  for (const Dispatcher& dispatcher : rows) {
    if (dispatcher.name == name) return &dispatcher;
  }
  return nullptr;
}

}  // namespace stepcast
