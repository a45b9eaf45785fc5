#include "simulator/schedules/custom.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

constexpr std::string_view actions = "FBIW";  // as PassKind

std::string name_of(PassKind kind, int position, std::int32_t microbatch) {
  return std::to_string(position) + actions[static_cast<std::size_t>(kind)] + std::to_string(microbatch);
}

/// Passes that have run, by kind, position on the way and microbatch; positions of a second way follow the first's.
class Done {
 public:
  Done(const PipelineShape& shape, ChunkPlacement placement)
      : shape_(shape),
        placement_(placement),
        length_(path_length(placement, shape.stages, shape.chunks)),
        microbatches_(shape.microbatches / paths(placement)) {
    for (auto& kind : done_) kind.assign(static_cast<std::size_t>(paths(placement) * length_ * microbatches_), false);
  }

  std::int64_t microbatches() const { return microbatches_; }
  bool last(int stage, const PassStep& step) const { return point(stage, step).position + 1 == length_; }
  std::string text(int stage, const PassStep& step) const {
    return name_of(step.kind, point(stage, step).position, step.microbatch);
  }

  bool in_range(const PassStep& step) const {
    const std::int64_t first = paths(placement_) > 1 ? step.chunk * microbatches_ : 0;
    return step.chunk >= 0 && step.chunk < shape_.chunks && step.microbatch >= first &&
           step.microbatch < first + microbatches_;
  }

  std::vector<bool>::reference operator()(PassKind kind, int stage, const PassStep& step, int further = 0) {
    const PathPoint at = point(stage, step);
    const std::int64_t microbatch = step.microbatch - (paths(placement_) > 1 ? step.chunk * microbatches_ : 0);
    const std::int64_t place = (std::int64_t{at.path} * length_ + at.position + further) * microbatches_ + microbatch;
    return done_[static_cast<std::size_t>(kind)][static_cast<std::size_t>(place)];
  }

  /// What a pass waits for, as "1B0", or nothing.
  std::optional<std::string> missing(int stage, const PassStep& step) {
    const PathPoint at = point(stage, step);
    const auto waits = [&](PassKind kind, int further) {
      return std::optional(name_of(kind, at.position + further, step.microbatch));
    };
    switch (step.kind) {
      case PassKind::forward:
        if (at.position > 0 && !(*this)(PassKind::forward, stage, step, -1)) return waits(PassKind::forward, -1);
        return std::nullopt;
      case PassKind::backward:
      case PassKind::backward_input:
        if (!(*this)(PassKind::forward, stage, step)) return waits(PassKind::forward, 0);
        if (at.position + 1 < length_ && !(*this)(PassKind::backward_input, stage, step, 1)) {
          return waits(step.kind, 1);
        }
        return std::nullopt;
      case PassKind::backward_weight:
        if (!(*this)(PassKind::backward_input, stage, step)) return waits(PassKind::backward_input, 0);
        return std::nullopt;
    }
    return std::nullopt;
  }

  void run(int stage, const PassStep& step) {
    if (step.kind == PassKind::forward) (*this)(PassKind::forward, stage, step) = true;
    if (step.kind == PassKind::backward || step.kind == PassKind::backward_input) {
      (*this)(PassKind::backward_input, stage, step) = true;
    }
    if (makes_weight_gradients(step.kind)) (*this)(PassKind::backward_weight, stage, step) = true;
  }

 private:
  PathPoint point(int stage, const PassStep& step) const {
    return path_point(placement_, shape_.stages, stage, step.chunk);
  }

  const PipelineShape& shape_;
  const ChunkPlacement placement_;
  const int length_;
  const std::int64_t microbatches_;
  std::array<std::vector<bool>, 4> done_;
};

/// A pass that is there twice, or a microbatch that a chunk does not see.
std::string wrong_count(const PipelineOrder& order, const PipelineShape& shape, ChunkPlacement placement) {
  Done seen(shape, placement);
  for (int stage = 0; stage < shape.stages; ++stage) {
    std::int64_t forwards = 0, inputs = 0, weights = 0;
    for (const PassStep& step : order[static_cast<std::size_t>(stage)]) {
      const std::string rank = "rank " + std::to_string(stage);
      if (!seen.in_range(step)) {
        return rank + " runs " + seen.text(stage, step) + ", but the step has " + std::to_string(shape.microbatches) +
               " microbatches";
      }
      const bool input = step.kind == PassKind::backward || step.kind == PassKind::backward_input;
      const bool weight = makes_weight_gradients(step.kind), forward = step.kind == PassKind::forward;
      if ((forward && seen(PassKind::forward, stage, step)) || (input && seen(PassKind::backward_input, stage, step)) ||
          (weight && seen(PassKind::backward_weight, stage, step))) {
        return rank + " runs " + seen.text(stage, step) + " twice";
      }
      seen.run(stage, step);
      forwards += forward, inputs += input, weights += weight;
    }
    const std::int64_t passes = seen.microbatches() * shape.chunks;
    for (const auto& [count, what] : {std::pair(forwards, "forward passes"),
                                      {inputs, "backward passes (B or I)"},
                                      {weights, "weight gradients (B or W)"}}) {
      if (count != passes) {
        return "rank " + std::to_string(stage) + " has " + std::to_string(count) + " " + what + "; " +
               std::to_string(seen.microbatches()) + " microbatches through " + std::to_string(shape.chunks) +
               " chunk" + (shape.chunks == 1 ? "" : "s") + " make " + std::to_string(passes);
      }
    }
  }
  return "";
}

}  // namespace

std::string order_problem(const PipelineOrder& order, const PipelineShape& shape, ChunkPlacement placement) {
  if (order.size() != static_cast<std::size_t>(shape.stages)) {
    return std::to_string(order.size()) + " ranks for " + std::to_string(shape.stages) + " pipeline stages";
  }
  if (const std::string problem = wrong_count(order, shape, placement); !problem.empty()) return problem;
  Done done(shape, placement);
  std::vector<std::size_t> next(order.size(), 0);
  for (bool progress = true; progress;) {
    progress = false;
    for (std::size_t stage = 0; stage < order.size(); ++stage) {
      while (next[stage] < order[stage].size() && !done.missing(static_cast<int>(stage), order[stage][next[stage]])) {
        done.run(static_cast<int>(stage), order[stage][next[stage]++]);
        progress = true;
      }
    }
  }
  std::optional<std::size_t> first;
  for (std::size_t stage = 0; stage < order.size(); ++stage) {
    if (next[stage] < order[stage].size() && (!first || next[stage] < next[*first])) first = stage;
  }
  if (!first) return "";
  const PassStep& step = order[*first][next[*first]];
  const auto stage = static_cast<int>(*first);
  return "rank " + std::to_string(stage) + " can never run " + done.text(stage, step) + ", its pass " +
         std::to_string(next[*first] + 1) + ": it waits for " + *done.missing(stage, step);
}

namespace {

/// One pass as it is written; the stage is of the whole model.
struct Written {
  int stage = 0;
  PassKind kind{};
  std::int32_t microbatch = 0;
};

std::optional<Written> parse_pass(std::string_view text) {
  Written pass;
  const char* const end = text.data() + text.size();
  const auto [action, stage_error] = std::from_chars(text.data(), end, pass.stage);
  if (stage_error != std::errc{} || action == end || pass.stage < 0) return std::nullopt;
  const std::size_t kind = actions.find(*action);
  if (kind == std::string_view::npos) return std::nullopt;
  pass.kind = static_cast<PassKind>(kind);
  const auto [rest, error] = std::from_chars(action + 1, end, pass.microbatch);
  if (error != std::errc{} || rest != end || pass.microbatch < 0) return std::nullopt;
  return pass;
}

std::vector<Written> parse_row(std::string_view row, std::size_t rank) {
  std::vector<Written> passes;
  for (std::size_t begin = 0; begin < row.size();) {
    const std::size_t end = std::min(row.find_first_of(", \t\r", begin), row.size());
    if (const std::string_view text = row.substr(begin, end - begin); !text.empty()) {
      const auto pass = parse_pass(text);
      if (!pass) {
        throw UserError("rank " + std::to_string(rank) + ": '" + std::string(text) +
                        "' is no pass; write stage, action (F, B, I or W) and microbatch, as 0F3");
      }
      passes.push_back(*pass);
    }
    begin = end + 1;
  }
  return passes;
}

/// The chunk of a rank that a stage of the model is, or -1.
int chunk_of(const PipelineShape& shape, ChunkPlacement placement, int rank, int stage) {
  for (int chunk = 0; chunk < shape.chunks; ++chunk) {
    if (path_point(placement, shape.stages, rank, chunk).position == stage) return chunk;
  }
  return -1;
}

}  // namespace

OwnOrder parse_order(const std::vector<std::string>& rows, const PipelineShape& shape) {
  if (rows.size() != static_cast<std::size_t>(shape.stages)) {
    throw UserError("an order has one row a rank: " + std::to_string(rows.size()) + " rows for " +
                    std::to_string(shape.stages) + " pipeline stages");
  }
  std::vector<std::vector<Written>> written;
  for (std::size_t rank = 0; rank < rows.size(); ++rank) written.push_back(parse_row(rows[rank], rank));

  OwnOrder order;
  const auto fits = [&](ChunkPlacement placement) {
    for (std::size_t rank = 0; rank < written.size(); ++rank) {
      for (const Written& pass : written[rank]) {
        if (chunk_of(shape, placement, static_cast<int>(rank), pass.stage) < 0) return false;
      }
    }
    return true;
  };
  if (!fits(order.placement) && shape.chunks == 2 && fits(ChunkPlacement::vee)) order.placement = ChunkPlacement::vee;
  for (std::size_t rank = 0; rank < written.size(); ++rank) {
    order.stages.emplace_back();
    for (const Written& pass : written[rank]) {
      const int chunk = chunk_of(shape, order.placement, static_cast<int>(rank), pass.stage);
      if (chunk < 0) {
        throw UserError("rank " + std::to_string(rank) + " runs " + name_of(pass.kind, pass.stage, pass.microbatch) +
                        ", but stage s of " + std::to_string(shape.stages * shape.chunks) + " is on rank s mod " +
                        std::to_string(shape.stages) +
                        (shape.chunks == 2 ? ", or the stages go down the ranks and back up" : ""));
      }
      order.stages.back().push_back({pass.kind, pass.microbatch, chunk});
    }
  }
  if (const std::string problem = order_problem(order.stages, shape, order.placement); !problem.empty()) {
    throw UserError(problem);
  }
  return order;
}

const Schedule custom{
    .name = "custom",
    .description = "your own order of passes: {custom: FILE}, or {custom: [rows]} (PyTorch's ScheduleCSV)",
    .refuses =
        [](const PipelineShape& shape) {
          return std::string(shape.own ? "" : "schedule custom needs an order: schedule: {custom: FILE}");
        },
    .order = [](const PipelineShape& shape) { return shape.own->stages; },
    .asynchronous = true};

}  // namespace stepcast
