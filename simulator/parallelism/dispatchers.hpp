#pragma once
/// How tokens get to the ranks of their experts and back: what is sent, and what is copied around it.

#include <span>
#include <string_view>

#include "simulator/cluster/placement.hpp"
#include "simulator/workload/op.hpp"

namespace stepcast {

/// One exchange as a rank sees it, tokens spread evenly over the experts.
struct TokenExchange {
  double tokens = 0;        ///< that this rank stores
  double experts = 1;       ///< E
  double copies = 1;        ///< experts that a token visits
  double row = 0;           ///< bytes of one token
  double groups = 1;        ///< of experts ...
  double groups_taken = 1;  ///< ... of which a token's belong to so many
  GroupShape group;         ///< the ranks that hold each expert once
};

struct Dispatcher {
  std::string_view name;
  std::string_view description;
  Collective (*dispatch)(const TokenExchange&);
  Collective (*combine)(const TokenExchange&);
  /// Rows that arrive at a rank and are sorted by expert there, of the rows that its experts work on: a dispatcher that
  /// sends one copy to a rank makes the others on arrival.
  double (*arriving)(const TokenExchange&);
  bool sorts_by_rank;  ///< rows are put in order before they leave, and again after they arrive
};

std::span<const Dispatcher> list_dispatchers();

/// Null when there is none of that name.
const Dispatcher* find_dispatcher(std::string_view name);

/// Probability that at least one of `copies` different experts, chosen evenly out of `experts`, is among `among` given
/// ones: 1 - C(E - m, k) / C(E, k).
double chance_of_visit(double experts, double copies, double among);

/// The same where a token first chooses `groups_taken` groups of experts, for neighbours in the order of experts: they
/// lie in one group, or are whole groups.
double chance_of_visit(const TokenExchange& exchange, double among);

}  // namespace stepcast
