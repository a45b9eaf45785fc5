#include "simulator/input/operations_reader.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <regex>

#include <fmt/format.h>

#include "simulator/input/profile_reader.hpp"
#include "simulator/units/calendar.hpp"
#include "simulator/units/money_text.hpp"

namespace stepcast {
namespace {

constexpr NumberRange shares{0, 1};
constexpr NumberRange counts{0, 1e15};
constexpr std::size_t longest_text = 200;

const std::vector<std::string> cause_categories{"gpu", "host", "network", "software", "maintenance", "unknown"};

// --- numbers with or without their source --------------------------------------------------------------------------

/// What reads the bare number.
template <class T, class Read>
void sourced(const YamlValue& value, Sourced<T>& target, const Read& read) {
  if (!value.is_map()) {
    target = {read(value), Basis::assumed, "as stated in " + value.node().source->name};
    return;
  }
  YamlMap map(value, {"value", "basis", "source"});
  target.value = read(map.require("value"));
  target.basis = read_basis(map);
  target.source = map.require("source").text();
  map.finish();
}

template <class T, class Read>
void optional(YamlMap& map, const char* key, Sourced<T>& target, const Read& read) {
  if (const auto value = map.find(key)) sourced(*value, target, read);
}

Seconds read_time(const YamlValue& value) { return value.quantity<Seconds>(); }
double read_share(const YamlValue& value) { return value.number(shares); }
double read_any_share(const YamlValue& value) { return value.number({0, 10}); }

double positive(const YamlValue& value, double highest) {
  const double number = value.number({0, highest});
  if (!(number > 0)) throw value.must_be("above zero");
  return number;
}

Seconds positive_time(const YamlValue& value) {
  const auto time = value.quantity<Seconds>();
  if (!(time > Seconds(0))) throw value.must_be("above zero");
  return time;
}

BytesPerSecond positive_rate(const YamlValue& value) {
  const auto rate = value.quantity<BytesPerSecond>();
  if (!(rate > BytesPerSecond(0))) throw value.must_be("above zero");
  return rate;
}

/// "<count> per <number> <unit>": the pieces.
struct Rate {
  double count = 0;
  double per = 1;
  std::string unit;
  int gpus_of_node = 0;
};

std::optional<Rate> parse_rate(const std::string& text) {
  static const std::regex form(R"(\s*(\S+)\s+per\s+(?:([0-9]\S*)\s+)?([A-Za-z-]+)(?:\s+of\s+([0-9]{1,4})\s+GPUs)?\s*)");
  std::smatch part;
  if (text.size() > longest_text || !std::regex_match(text, part, form)) return std::nullopt;
  const auto number = [](const std::string& digits) {
    double value = std::numeric_limits<double>::quiet_NaN();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc{} && end == digits.data() + digits.size() ? value : -1;
  };
  Rate rate;
  rate.count = number(part[1]);
  if (part[2].matched) rate.per = number(part[2]);
  rate.unit = part[3];
  if (rate.unit.ends_with('s')) rate.unit.pop_back();
  if (part[4].matched) rate.gpus_of_node = std::stoi(part[4]);
  if (!(rate.count >= 0 && rate.per > 0) || !std::isfinite(rate.count / rate.per)) return std::nullopt;
  return rate;
}

Seconds length_of(const std::string& unit) {
  if (unit.ends_with("hour")) return hour;
  if (unit.ends_with("day")) return day;
  return unit.ends_with("week") ? week : Seconds(0);
}

/// "47 per 54 days": of the job.
Hertz read_job_rate(const YamlValue& value) {
  const auto rate = parse_rate(value.text());
  if (!rate || rate->gpus_of_node > 0 || (rate->unit != "hour" && rate->unit != "day" && rate->unit != "week"))
    throw value.must_be("a rate of the whole job, as in '47 per 54 days' (hours, days or weeks)");
  return rate->count / (rate->per * length_of(rate->unit));
}

template <class Q>
Price<Q> read_price(const YamlValue& value) {
  if (!value.is_scalar()) throw value.must_be("a price (" + price_unit_names<Q>() + ")");
  const auto price = parse_price<Q>(value.text());
  if (!price) throw value.must_be("a price (" + price_unit_names<Q>() + ")");
  if (*price < Price<Q>()) throw value.error(value.path() + " must not be negative: " + value.text());
  return *price;
}

/// "57 g/kWh"
double read_grams(const YamlValue& value) {
  static const std::regex form(R"(\s*([0-9]+(?:\.[0-9]*)?)\s*g/kWh\s*)");
  std::smatch part;
  const std::string text = value.text();
  if (text.size() > longest_text || !std::regex_match(text, part, form))
    throw value.must_be("grams of CO2 equivalent, as in '57 g/kWh'");
  return std::stod(part[1]);
}

// --- failures ----------------------------------------------------------------------------------------------------

/// Counts or shares; shares of the whole afterwards.
std::vector<FailureCause> read_causes(const YamlValue& value) {
  std::vector<FailureCause> causes;
  double sum = 0;
  for (const YamlValue& item : value.list()) {
    YamlMap map(item, {"name", "category", "count", "takes_node"});
    FailureCause cause;
    cause.name = map.require("name").text();
    cause.category = map.require("category").choice("category of failures", cause_categories);
    cause.share = map.require("count").number(counts);
    cause.takes_node = map.require("takes_node").boolean();
    map.finish();
    sum += cause.share;
    causes.push_back(cause);
  }
  if (!(sum > 0)) throw value.must_be("causes that were counted");
  for (FailureCause& cause : causes) cause.share /= sum;
  return causes;
}

/// The tree behind a name, a path or a map, and the name to give it.
struct Tree {
  YamlNode root;
  std::string name;
};

Tree tree_of(PresetKind kind, const YamlValue& value, PresetStore& presets) {
  if (!value.is_map()) return {presets.tree(kind, value), PresetStore::stem(value)};
  return {presets.with_base(kind, value.node()), ""};
}

template <class T>
T load(const std::string& name, T (*read)(const YamlValue&, PresetStore&)) {
  PresetStore presets;
  const YamlNode written = yaml_scalar(name);
  return read(YamlValue(written, "name"), presets);
}

const std::vector<std::string> reliability_keys{"description",  "failures", "takes_node", "causes",     "planned",
                                                "planned_time", "detect",   "restart",    "replace",    "repair",
                                                "shape",        "observed", "slow_share", "slow_spread"};

}  // namespace

Hertz read_failure_rate(const YamlValue& value) {
  const auto rate = parse_rate(value.text());
  const std::string unit = rate ? rate->unit : "";
  const bool of_gpus = unit == "GPU-hour" || unit == "GPU-day" || unit == "GPU-week";
  const bool of_nodes = unit == "node-hour" || unit == "node-day" || unit == "node-week";
  if (!rate || !(of_gpus || of_nodes) || of_nodes != (rate->gpus_of_node > 0)) {
    throw value.must_be(
        "a rate, as in '419 per 884736 GPU-days', '6.5 per 1000 node-days of 8 GPUs' or '1 per 50000 GPU-hours'");
  }
  const int gpus = of_nodes ? rate->gpus_of_node : 1;
  return rate->count / (rate->per * gpus * length_of(unit));
}

Reliability read_reliability(const YamlValue& value, PresetStore& presets) {
  const Tree tree = tree_of(PresetKind::reliability, value, presets);
  YamlMap map(YamlValue(tree.root, value.is_map() ? value.path() : ""), reliability_keys);
  Reliability result;
  result.name = tree.name;
  if (const auto description = map.find("description")) result.description = description->text();
  sourced(map.require("failures"), result.failures_per_gpu, read_failure_rate);
  if (const auto causes = map.find("causes")) {
    result.causes = read_causes(*causes);
    double taking = 0;
    for (const FailureCause& cause : result.causes) taking += cause.takes_node ? cause.share : 0;
    result.takes_node = {taking, result.failures_per_gpu.basis, "by cause; " + result.failures_per_gpu.source};
  }
  optional(map, "takes_node", result.takes_node, read_share);
  optional(map, "planned", result.planned, read_job_rate);
  optional(map, "planned_time", result.planned_time, read_time);
  optional(map, "detect", result.detect, read_time);
  optional(map, "restart", result.restart, read_time);
  optional(map, "replace", result.replace, read_time);
  optional(map, "repair", result.repair, read_time);
  optional(map, "shape", result.shape, [](const YamlValue& v) { return positive(v, 10); });
  optional(map, "observed", result.observed, positive_time);
  optional(map, "slow_share", result.slow_share, read_any_share);
  optional(map, "slow_spread", result.slow_spread, read_any_share);
  map.finish();
  return result;
}

Site read_site(const YamlValue& value, PresetStore& presets) {
  const Tree tree = tree_of(PresetKind::site, value, presets);
  YamlMap map(YamlValue(tree.root, value.is_map() ? value.path() : ""), {"description", "pue", "grid"});
  Site site;
  site.name = tree.name;
  if (const auto description = map.find("description")) site.description = description->text();
  optional(map, "pue", site.pue, [](const YamlValue& v) { return v.number({1, 10}); });
  sourced(map.require("grid"), site.grams_co2e_per_kwh, read_grams);
  map.finish();
  return site;
}

PriceList read_price_list(const YamlValue& value, PresetStore& presets) {
  const Tree tree = tree_of(PresetKind::prices, value, presets);
  YamlMap map(YamlValue(tree.root, ""), {"description", "gpu", "on_demand", "spot", "date"});
  PriceList list;
  list.name = tree.name;
  list.description = map.require("description").text();
  if (const auto gpu = map.find("gpu")) list.gpu = gpu->choice("GPU", presets.names(PresetKind::gpu));
  if (const auto date = map.find("date")) list.date = date->text();
  optional(map, "on_demand", list.on_demand, read_price<Seconds>);
  optional(map, "spot", list.spot, read_price<Seconds>);
  if (list.on_demand.value == TimePrice() && list.spot.value == TimePrice())
    throw map.error("a price list has on_demand, spot or both");
  map.finish();
  return list;
}

namespace {

/// A price, or the name of a list.
TimePrice on_demand_price(const YamlValue& value, PresetStore& presets) {
  if (!value.is_scalar()) throw value.must_be("a price (2 USD/GPU-hour) or the name of a price list");
  if (const auto price = parse_price<Seconds>(value.text())) return read_price<Seconds>(value);
  const std::string text = value.text();
  if (!text.empty() && (text.front() == '$' || (text.front() >= '0' && text.front() <= '9')))
    throw value.must_be("a price (" + price_unit_names<Seconds>() + ") or the name of a price list");
  const PriceList list = read_price_list(value, presets);
  if (list.on_demand.value == TimePrice()) throw value.error(list.name + " has a spot price only: say {spot: ...}");
  return list.on_demand.value;
}

Reserved read_reserved(const YamlValue& value, PresetStore& presets) {
  YamlMap map(value, {"price", "discount", "term"});
  const Reserved terms{on_demand_price(map.require("price"), presets),
                       map.find("discount") ? map.require("discount").number(shares) : 0,
                       positive_time(map.require("term"))};
  map.finish();
  return terms;
}

Owned read_owned(const YamlValue& value) {
  YamlMap map(value, {"purchase", "life", "residual", "interest", "utilisation", "hosting", "electricity"});
  Owned terms;
  const YamlValue purchase = map.require("purchase");
  const auto amount = parse_dollars(purchase.text());
  if (!amount || *amount < Dollars(0)) throw purchase.must_be("the price of a GPU with its server, as in '35000 USD'");
  terms.purchase_per_gpu = *amount;
  terms.life = positive_time(map.require("life"));
  if (const auto residual = map.find("residual")) terms.residual = residual->number(shares);
  if (const auto interest = map.find("interest")) terms.interest = interest->number(shares);
  if (const auto utilisation = map.find("utilisation")) terms.utilisation = positive(*utilisation, 1);
  if (const auto hosting = map.find("hosting")) terms.hosting_per_gpu = read_price<Seconds>(*hosting);
  terms.electricity = read_price<Joules>(map.require("electricity"));
  map.finish();
  return terms;
}

}  // namespace

Tenure read_tenure(const YamlValue& value, PresetStore& presets) {
  if (!value.is_map()) return OnDemand{on_demand_price(value, presets)};
  const std::vector<std::string> ways{"on_demand", "spot", "reserved", "owned"};
  YamlMap map(value, ways);
  std::optional<Tenure> tenure;
  for (const std::string& way : ways) {
    const auto terms = map.find(way);
    if (!terms) continue;
    if (tenure) throw terms->error("GPUs are paid in one way: " + fmt::format("{}", fmt::join(ways, ", ")));
    if (way == "on_demand") tenure = OnDemand{on_demand_price(*terms, presets)};
    if (way == "reserved") tenure = read_reserved(*terms, presets);
    if (way == "owned") tenure = read_owned(*terms);
    if (way == "spot") {
      const PriceList list = read_price_list(*terms, presets);
      if (list.spot.value == TimePrice()) throw terms->error(list.name + " has no spot price");
      tenure = OnDemand{list.spot.value};
    }
  }
  map.finish();
  if (!tenure) throw map.error("one way to pay: " + fmt::format("{}", fmt::join(ways, ", ")));
  return *tenure;
}

StorageTerms read_storage_terms(const YamlValue& value) {
  YamlMap map(value, {"kept", "egress"});
  StorageTerms terms;
  if (const auto kept = map.find("kept")) terms.kept = read_price<ByteSeconds>(*kept);
  if (const auto egress = map.find("egress")) terms.egress = read_price<Bytes>(*egress);
  map.finish();
  return terms;
}

namespace {

CheckpointTerms::Memory read_memory(const YamlValue& value) {
  YamlMap map(value, {"every", "stall", "load", "survive_loss_of_node"});
  CheckpointTerms::Memory memory;
  if (const auto every = map.find("every")) memory.interval = positive_time(*every);
  if (const auto stall = map.find("stall")) memory.stall = read_time(*stall);
  if (const auto load = map.find("load")) memory.load = read_time(*load);
  if (const auto survive = map.find("survive_loss_of_node")) memory.survive_loss_of_node = survive->boolean();
  map.finish();
  return memory;
}

}  // namespace

MemoryCheckpoints CheckpointTerms::Memory::of(Bytes size, std::int64_t gpus, const CheckpointStorage& to) const {
  MemoryCheckpoints copies = memory_checkpoints(size, gpus, to);
  copies.stall = stall.value_or(copies.stall);
  copies.load = load.value_or(copies.load);
  copies.interval = interval;
  copies.survive_loss_of_node = survive_loss_of_node;
  return copies;
}

CheckpointTerms read_checkpoint_terms(const YamlValue& value) {
  YamlMap map(value, {"write", "read", "mode", "copy_per_gpu", "background_slowdown", "bytes_per_parameter", "every",
                      "memory"});
  CheckpointTerms terms;
  terms.storage.write = positive_rate(map.require("write"));
  terms.storage.read = map.find("read") ? positive_rate(map.require("read")) : terms.storage.write;
  if (const auto mode = map.find("mode")) {
    const bool waits = mode->choice("mode of checkpoints", {"synchronous", "asynchronous"}) == "synchronous";
    terms.mode = waits ? CheckpointMode::synchronous : CheckpointMode::asynchronous;
  }
  if (const auto copy = map.find("copy_per_gpu")) terms.storage.copy_per_gpu = positive_rate(*copy);
  if (const auto slowdown = map.find("background_slowdown"))
    terms.storage.background_slowdown = slowdown->number(shares);
  if (const auto every = map.find("every")) terms.interval = positive_time(*every);
  if (const auto memory = map.find("memory")) terms.memory = read_memory(*memory);
  if (const auto bytes = map.find("bytes_per_parameter")) terms.state = {0, 0, positive(*bytes, 1000)};
  map.finish();
  return terms;
}

Reliability load_reliability(const std::string& name) { return load(name, read_reliability); }
Site load_site(const std::string& name) { return load(name, read_site); }
PriceList load_price_list(const std::string& name) { return load(name, read_price_list); }

}  // namespace stepcast
