#pragma once
/// A scenario with every name resolved to values: the last file has been read.

#include <optional>
#include <string>
#include <vector>

#include "simulator/cluster/cluster.hpp"
#include "simulator/cluster/faults.hpp"
#include "simulator/profiles/framework.hpp"
#include "simulator/workload/architecture.hpp"
#include "simulator/workload/executor.hpp"
#include "simulator/workload/plan.hpp"

namespace stepcast {

/// What a published or own measurement says of a run.
struct Measured {
  std::optional<double> step_time_s;
  std::string step_time_from;  ///< published | tokens_per_s | tflops | mfu
  std::optional<double> tokens_per_s_per_gpu;
  std::optional<double> tflops_per_gpu;
  std::optional<double> mfu;
  std::optional<double> hfu;
  std::optional<double> memory_gib;
  std::string memory_kind;  ///< allocated | active | reserved | nvidia-smi
  bool out_of_memory = false;
};

/// Where a reference run comes from and how far to trust it.
struct Reference {
  std::string title;
  std::string where;
  std::string confidence;  ///< exact | inferred
  std::string suspect;     ///< why the row is doubted; empty: it is not
  std::vector<std::string> inferred;
  std::string notes;
  Measured measured;
};

struct Job {
  std::string name;  ///< of the scenario
  std::string id;    ///< of the reference run; empty for a plain scenario
  Architecture model;
  Cluster cluster;
  ParallelPlan plan;
  Framework framework;
  std::string framework_version;
  std::string flops_convention;  ///< name in workload/flops.hpp; empty: full-attention
  std::vector<Fault> faults;
  std::optional<Executor> executor;   ///< that the scenario asks for
  std::optional<std::uint64_t> seed;  ///< of the spread of speed
  std::optional<Reference> reference;
  std::vector<std::string> assumed;         ///< inputs that rest on an assumption, for the report
  std::vector<std::string> defaults_taken;  ///< what the scenario left out and which value took its place
};

}  // namespace stepcast
