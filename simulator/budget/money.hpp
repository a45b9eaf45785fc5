#pragma once
/// What a run costs in dollars.

#include <string>
#include <variant>
#include <vector>

#include "simulator/profiles/sourced.hpp"
#include "simulator/units/money.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

/// A published price of a GPU's time.
struct PriceList {
  std::string name;
  std::string description;
  std::string gpu;  ///< preset name of the GPU; empty: any
  Sourced<TimePrice> on_demand;
  Sourced<TimePrice> spot;  ///< zero: none known
  std::string date;         ///< when it was read
};

/// Pay for GPUs while the job holds them.
struct OnDemand {
  TimePrice gpu_time;
};

/// GPUs for a fixed term at a discount: the whole term is paid, also when the run ends before.
struct Reserved {
  TimePrice gpu_time;   ///< list price
  double discount = 0;  ///< share off the list price
  Seconds term;         ///< a run that takes longer pays for as many terms as it begins
};

/// Own servers, written off in a straight line over their life.
///
/// Price of a GPU's hour = (purchase * (1 - residual) + interest on what is tied up) / life / utilisation
///                         + hosting + power; interest on the mean of purchase price and residual value.
struct Owned {
  Dollars purchase_per_gpu;   ///< server with its share of network and storage, for each GPU
  double residual = 0;        ///< share of the price that is left at the end
  Seconds life;               ///< over which it is written off
  double interest = 0;        ///< a year, on the capital tied up
  double utilisation = 1;     ///< share of its life in which a GPU works for somebody
  TimePrice hosting_per_gpu;  ///< building, cooling plant, staff; without electricity
  EnergyPrice electricity;
};

using Tenure = std::variant<OnDemand, Reserved, Owned>;

struct StorageTerms {
  StoragePrice kept;     ///< for each byte and time
  TransferPrice egress;  ///< for each byte that leaves
};

/// What a run uses.
struct Usage {
  double gpus = 0;   ///< held, spare ones with them
  Seconds wall;      ///< as long as they are held
  Joules energy;     ///< of the whole facility; owners pay it
  Bytes checkpoint;  ///< one
  double checkpoints_kept = 0;
  Seconds kept_for;  ///< that a kept checkpoint lies in storage, on average
  Bytes dataset;     ///< in storage throughout
  Bytes egress;

  Seconds gpu_time() const { return gpus * wall; }
};

struct Bill {
  struct Part {
    std::string name;
    Dollars amount;
  };
  std::vector<Part> parts;  ///< those that are not zero

  Dollars total() const;
};

Bill bill(const Usage& usage, const Tenure& tenure, const StorageTerms& storage = {});

}  // namespace stepcast
