#pragma once

namespace stepcast {

/// dataflow: one pass in topological order; events: discrete events on a clock, links shared.
enum class Executor { dataflow, events };

}  // namespace stepcast
