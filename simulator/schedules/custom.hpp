#pragma once
/// A user's own order of passes, in PyTorch's notation (torch.distributed.pipelining, `ScheduleCSV`): one row a rank,
/// stage, action, microbatch, as in "0F0 0F1 0B0 0B1". Actions: F forward, B backward, or I and W for its two parts. Stages are
/// those of the whole model, counted from 0.

#include <string>
#include <vector>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {

/// Reads the rows of an order; passes are separated by commas or blanks, and empty places mean nothing. Which rank holds
/// which stages is read off the rows: stage s on rank s mod p, or down the ranks and back up.
///
/// @throws UserError  naming the row and the pass, when one cannot be read, runs twice or never, or can never run
OwnOrder parse_order(const std::vector<std::string>& rows, const PipelineShape& shape);

/// Why an order cannot run: a pass that is missing or there twice, or the first pass that waits for ever. Empty: it can.
/// Microbatches of each chunk are those of the placement: all, or the half that goes its way.
std::string order_problem(const PipelineOrder& order, const PipelineShape& shape, ChunkPlacement placement);

}  // namespace stepcast
