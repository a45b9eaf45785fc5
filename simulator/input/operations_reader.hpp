#pragma once
/// What a run meets outside of its steps, in YAML: failures, prices, the place. The files of hardware_profiles/
/// reliability/, prices/ and sites/, a user's own, and maps inside a plan file.

#include <optional>
#include <string>

#include "simulator/budget/checkpoint.hpp"
#include "simulator/budget/energy.hpp"
#include "simulator/budget/money.hpp"
#include "simulator/budget/reliability.hpp"
#include "simulator/input/preset_store.hpp"

namespace stepcast {

// Each takes a name, a path or a map, which may say `extends: NAME`. In a map, a number may stand alone or as
// {value: ..., basis: ..., source: ...}. @throws UserError at the place of what is wrong
Reliability read_reliability(const YamlValue& value, PresetStore& presets);
Site read_site(const YamlValue& value, PresetStore& presets);

/// A price list is a file; a name or a path.
PriceList read_price_list(const YamlValue& value, PresetStore& presets);

/// How GPUs are paid: a price ("2 USD/GPU-hour"), the name of a price list, or one of
///   {on_demand: PRICE} {spot: NAME} {reserved: {price: PRICE, discount: 0.4, term: 1 year}}
///   {owned: {purchase: 35000 USD, life: 4 years, residual: 0.1, interest: 0.05, utilisation: 0.8,
///            hosting: 0.1 USD/GPU-hour, electricity: 0.08 USD/kWh}}
/// where PRICE is a price or the name of a list. No price is assumed.
Tenure read_tenure(const YamlValue& value, PresetStore& presets);

/// {kept: 20 USD/TB-month, egress: 0.05 USD/GB}
StorageTerms read_storage_terms(const YamlValue& value);

struct CheckpointTerms {
  CheckpointStorage storage;
  CheckpointMode mode = CheckpointMode::asynchronous;
  CheckpointState state;
  /// Copies in the hosts' memory; stall and load follow from the copy where they are not stated.
  struct Memory {
    std::optional<Seconds> stall, load, interval;
    bool survive_loss_of_node = false;

    MemoryCheckpoints of(Bytes size, std::int64_t gpus, const CheckpointStorage& to) const;
  };
  std::optional<Memory> memory;
  std::optional<Seconds> interval;
};
/// {write: 200 GB/s, read: 400 GB/s, mode: asynchronous | synchronous, copy_per_gpu: 25 GB/s, background_slowdown: 0.02,
///  bytes_per_parameter: 14, every: 30 min, memory: {every: 2 min, stall: 1 s, load: 10 s, survive_loss_of_node: true}};
/// `every` is productive time, the optimum when left out. `write` is required, `read` is as fast when left out.
CheckpointTerms read_checkpoint_terms(const YamlValue& value);

// By name, for what does not begin with a file.
Reliability load_reliability(const std::string& name);
Site load_site(const std::string& name);
PriceList load_price_list(const std::string& name);

/// A rate as operators write it: "419 per 884736 GPU-days", "6.5 per 1000 node-days of 8 GPUs", "1 per 50000 GPU-hours":
/// of one GPU. @throws UserError at the value
Hertz read_failure_rate(const YamlValue& value);

}  // namespace stepcast
