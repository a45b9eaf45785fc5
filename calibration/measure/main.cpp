// stepcast-measure: the microbenchmarks of this machine's GPU, into a file that `stepcast calibrate fit` reads.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>

#include <CLI/CLI.hpp>
#include <cuda_runtime_api.h>

#include "calibration/measure/session.hpp"
#include "simulator/base/text_table.hpp"

namespace stepcast::measure {
namespace {

enum Exit : int { done = 0, not_measured = 1, wrong_input = 2, our_fault = 3 };

struct Benchmark {
  std::string name;  ///< the kind of its records
  std::string description;
  Points (*points)(const Scope& scope);
  void (*run)(Session& session, const Points& points);
};

const std::vector<Benchmark>& benchmarks() {
  static const std::vector<Benchmark> table{
      {"launch", "Kernel launches: host, empty kernels, the pause between two; stream and graph", launch_points,
       measure_launch},
      {"memory", "HBM copy, read and write by size; norms, activations, softmax, Adam, cross-entropy", memory_points,
       measure_memory},
      {"copy", "Copies between host and GPU, within the GPU, and between GPUs", copy_points, measure_copies},
      {"gemm", "Matrix products of training shapes through cuBLASLt: TN, NN, NT; bf16, fp16, tf32, fp32, fp8",
       gemm_points, measure_gemm},
      {"attention", "Fused attention through cuDNN, forward and backward", attention_points, measure_attention},
      {"overlap", "A product beside HBM traffic on a few SMs, or beside NCCL: what it costs both", overlap_points,
       measure_overlap},
      {"collective", "NCCL operations by size over all GPUs", collective_points, measure_collectives},
      {"clock", "Clock, power and speed under loads that last seconds", clock_points, measure_clocks},
  };
  return table;
}

const Benchmark& find_benchmark(const std::string& name) {
  std::vector<std::string> names;
  for (const Benchmark& benchmark : benchmarks()) {
    if (benchmark.name == name) return benchmark;
    names.push_back(benchmark.name);
  }
  throw UserError(unknown_name("benchmark", name, names));
}

// --- the user stops it -------------------------------------------------------------------------------------------

volatile std::sig_atomic_t interrupted = 0;

void on_signal(int signal) {
  interrupted = 1;
  std::signal(signal, SIG_DFL);  // the next one ends the program
}

// --- the machine -------------------------------------------------------------------------------------------------

struct NoGpu {
  std::string why;
};

void check(cudaError_t status) {
  if (status != cudaSuccess) throw NoGpu{cudaGetErrorString(status)};
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version / 10 % 100);
}

int visible_gpus() {
  int driver = 0, gpus = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) throw NoGpu{"no NVIDIA driver is installed"};
  check(cudaGetDeviceCount(&gpus));
  if (gpus == 0) throw NoGpu{"no device"};
  return gpus;
}

/// @throws NoGpu
Device open_device(int index) {
  cudaDeviceProp properties{};
  check(cudaSetDevice(index));
  check(cudaGetDeviceProperties(&properties, index));
  check(cudaFree(nullptr));  // starts the context
  Device device;
  device.name = properties.name;
  device.sms = properties.multiProcessorCount;
  device.compute_capability = 10 * properties.major + properties.minor;
  device.l2_bytes = static_cast<std::size_t>(properties.l2CacheSize);
  device.memory_bytes = properties.totalGlobalMem;
  char bus_id[32] = "";
  check(cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, index));
  device.pci_bus_id = bus_id;
  int runtime = 0;
  check(cudaRuntimeGetVersion(&runtime));
  device.cuda = version_text(runtime);
  if (device.compute_capability < 80)
    throw NoGpu{device.name + " is older than the kernels of this program, which need compute capability 8.0"};
  return device;
}

/// The first of these variables that holds a number.
std::optional<int> from_environment(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const char* text = std::getenv(name)) return std::atoi(text);
  return {};
}

/// What mpirun or srun says of this process; one process alone without --nccl-id.
Job find_job(const std::string& id_file) {
  Job job;
  job.id_file = id_file;
  const int ranks = from_environment({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"}).value_or(1);
  if (id_file.empty()) {
    if (from_environment({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}).value_or(1) > 1)
      throw UserError("started as one of " + std::to_string(ranks) +
                      " processes: name a file that all nodes share with --nccl-id FILE");
    return job;
  }
  const auto rank = from_environment({"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"});
  const auto local_rank = from_environment({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"});
  const auto local_size = from_environment({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"});
  const auto nodes = from_environment({"SLURM_NNODES"});
  if (!rank || !local_rank || ranks < 2 || *rank < 0 || *rank >= ranks)
    throw UserError("--nccl-id is for several processes, one a GPU, under mpirun or srun");
  job.rank = *rank;
  job.ranks = ranks;
  job.local_rank = *local_rank;
  job.nodes = nodes.value_or(local_size && *local_size > 0 ? std::max(1, ranks / *local_size) : 1);
  return job;
}

// --- the command -------------------------------------------------------------------------------------------------

struct Options {
  Session::Options session;
  std::vector<std::string> only;
  std::string id_file;
  bool list = false;
};

std::vector<const Benchmark*> chosen_benchmarks(const std::vector<std::string>& only) {
  std::vector<const Benchmark*> chosen;
  for (const Benchmark& benchmark : benchmarks())
    if (only.empty() || std::find(only.begin(), only.end(), benchmark.name) != only.end()) chosen.push_back(&benchmark);
  for (const std::string& name : only) find_benchmark(name);
  return chosen;
}

/// The table, or with --only every point. As on one H100.
void print_list(const Options& options) {
  Scope scope;
  scope.quick = options.session.quick;
  const auto chosen = chosen_benchmarks(options.only);
  if (!options.only.empty()) {
    for (const Benchmark* benchmark : chosen)
      for (const MeasuredPoint& point : benchmark->points(scope)) std::cout << describe(point) << "\n";
    return;
  }
  TextTable table({{"benchmark"}, {"points", Align::right}, {"what"}});
  for (const Benchmark* benchmark : chosen)
    table.add_row({benchmark->name, std::to_string(benchmark->points(scope).size()), benchmark->description});
  std::cout << table.to_string()
            << "Points on one GPU of compute capability 9.0 (NCCL needs two GPUs); --list --only NAME prints each.\n";
}

Exit run_benchmarks(const Options& options) {
  Job job = find_job(options.id_file);
  const int gpus = visible_gpus();
  if (job.distributed() && job.local_rank >= gpus)
    throw UserError("process " + std::to_string(job.local_rank) + " of this node has no GPU: there are " +
                    std::to_string(gpus) + "; start one process a GPU");
  const Device device = open_device(job.distributed() ? job.local_rank : 0);

  Session::Options session_options = options.session;
  if (job.rank != 0) session_options.seconds = std::numeric_limits<double>::infinity();  // rank 0 decides
  Session session(session_options, device, job, [&job] { return job.rank == 0 && interrupted != 0; });
  const std::string limit = session.sensors().power_limit_w()
                                ? ", " + std::to_string(static_cast<int>(*session.sensors().power_limit_w())) + " W"
                                : "";
  session.note(device.name + limit + ", CUDA " + device.cuda + " -> " + options.session.out);

  Scope scope;
  scope.quick = options.session.quick;
  scope.fp8 = device.compute_capability >= 89;
  scope.sms = device.sms;
  scope.gpus = job.distributed() ? 1 : gpus;
  scope.ranks = job.distributed() ? job.ranks : gpus;
  scope.nodes = job.nodes;
  if (!scope.fp8) session.leave_out("fp8 products", device.name + " has none: they need compute capability 8.9");

  Exit exit = done;
  std::string ending;
  try {
    for (const Benchmark* benchmark : chosen_benchmarks(options.only)) {
      if (job.distributed() && benchmark->name != "collective") continue;  // the others are for one process
      try {
        benchmark->run(session, benchmark->points(scope));
      } catch (const Unsupported& unsupported) {
        session.leave_out(benchmark->name, unsupported.what());
      }
    }
  } catch (const Stopped& stopped) {
    ending = "Stopped: " + stopped.why + ". The same command goes on from here.\n";
    exit = not_measured;
  } catch (const DeviceFailure& failure) {
    ending = std::string("Failed: ") + failure.what() + "\n";
    exit = our_fault;
  }
  if (session.wrong_results() > 0 && exit == done) exit = not_measured;
  std::string text = session.summary() + ending;
  if (!text.empty() && text.back() == '\n') text.pop_back();
  session.note(text);
  return exit;
}

Exit run(int argc, char** argv) {
  CLI::App app("Measures this machine's GPU: kernels, memory, copies, collectives, clocks.", "stepcast-measure");
  Options options;
  options.session.out = "measurements.jsonl";
  app.add_option("--out", options.session.out,
                 "File that grows by one line a point; what is in it is not measured again")
      ->capture_default_str()
      ->type_name("FILE");
  app.add_option("--only", options.only, "Some benchmarks: gemm,memory,...")->delimiter(',')->type_name("NAMES");
  app.add_flag("--quick", options.session.quick, "A few points of each kind, within a minute");
  app.add_flag("--list", options.list, "Print what would be measured; needs no GPU");
  app.add_option("--seconds", options.session.seconds, "No point begins later than this")
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--nccl-id", options.id_file,
                 "Several nodes: a new file that all see, under mpirun or srun, one process a GPU")
      ->type_name("FILE");
  app.footer(
      "Examples:\n"
      "  stepcast-measure --out h100.jsonl\n"
      "  stepcast-measure --out h100.jsonl --only gemm,clock --seconds 60\n"
      "  mpirun -np 16 -npernode 8 stepcast-measure --out nodes.jsonl --nccl-id /shared/nccl-id\n\n"
      "Exit status: 0 done, 1 no GPU, stopped or a wrong result, 2 wrong input, 3 a device failure.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return done;
  } catch (const CLI::ParseError& error) {
    throw UserError(error.what());
  }
  if (!(options.session.seconds > 0)) throw UserError("--seconds is a number above 0");
  if (options.list) {
    print_list(options);
    return done;
  }
  chosen_benchmarks(options.only);  // a misspelt name is told first
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  return run_benchmarks(options);
}

}  // namespace
}  // namespace stepcast::measure

int main(int argc, char** argv) {
  using namespace stepcast;
  try {
    return measure::run(argc, argv);
  } catch (const measure::NoGpu& none) {
    std::fprintf(stderr, "stepcast-measure: there is no NVIDIA GPU to measure here (%s)\n", none.why.c_str());
    return measure::not_measured;
  } catch (const UserError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return measure::wrong_input;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stepcast-measure: %s\n", error.what());
    return measure::our_fault;
  }
}
