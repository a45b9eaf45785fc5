#include "tools/stepcast/processes.hpp"

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "simulator/base/error.hpp"

namespace stepcast::cli {
namespace {

/// As mpirun of Open MPI, and Hydra (MPICH, Intel MPI), Slurm and Flux by PMI, tell the processes that they start.
int processes_of_launcher() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    if (const char* size = std::getenv(name)) return std::atoi(size);
  }
  return 1;
}

}  // namespace

std::unique_ptr<Distributor> launched_processes() {
  const int processes = processes_of_launcher();
  if (processes <= 1) return nullptr;
  // Beside the program, when built and when installed: bin/stepcast, lib/stepcast/.
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe");
  const std::string module = (program.parent_path().parent_path() / "lib/stepcast/stepcast_mpi.so").string();
  const std::string others = "; `--shard I/N` searches with several processes without MPI";
  if (!std::filesystem::exists(module)) {
    throw UserError(
        fmt::format("this is one of {} processes, but stepcast was built without MPI{}", processes, others));
  }
  void* const loaded = dlopen(module.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (loaded == nullptr) throw UserError(fmt::format("cannot load MPI: {}{}", dlerror(), others));
  using Make = Distributor*();
  auto* const make = reinterpret_cast<Make*>(dlsym(loaded, "stepcast_mpi_distributor"));
  CHECK(make != nullptr, "the module is of this program");
  return std::unique_ptr<Distributor>(make());
}

}  // namespace stepcast::cli
