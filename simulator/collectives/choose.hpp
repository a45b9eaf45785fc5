#pragma once
/// NCCL's choice of algorithm and protocol for a call, and the time that it takes.

#include <span>
#include <string_view>

#include "simulator/collectives/messages/messages.hpp"
#include "simulator/collectives/nccl_model.hpp"

namespace stepcast {

struct AlgorithmRow {
  Algorithm algorithm;
  std::string_view name;
  std::string_view description;
  NcclEstimate (*estimate)(CollectiveKind, Protocol, Bytes, const Communicator&);
  MessageSteps (*messages)(CollectiveKind, Bytes, MessageShape);
  bool by_nccl = true;  ///< false: only on request
};
/// All of them, in the order of the enum: what `stepcast list collectives` prints.
std::span<const AlgorithmRow> list_collectives();
const AlgorithmRow& row_of(Algorithm algorithm);

/// What NCCL would run, by its own estimates, and how long that takes by what logs add to them.
///
/// @pre  the cluster's GPUs are of a generation that NCCL's tables know (nccl_generation)
/// Leaves out: the launch by the host, and the wait for the last rank.
CollectiveChoice choose_collective(const CollectiveCall& call);

/// Its time alone.
Seconds nccl_time(const CollectiveCall& call);

/// Time of one algorithm and protocol by estimate and correction.
Seconds corrected_time(const NcclEstimate& estimate, const Correction& correction, Bytes size);

}  // namespace stepcast
