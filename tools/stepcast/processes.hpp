#pragma once
/// The processes that a launcher such as mpirun started this one among.

#include <memory>

#include "simulator/search/distributor.hpp"

namespace stepcast::cli {

/// Null: the program runs alone. @throws UserError when it was built without MPI, and is one of several
std::unique_ptr<Distributor> launched_processes();

}  // namespace stepcast::cli
