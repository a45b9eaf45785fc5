#include "simulator/budget/money.hpp"

#include <algorithm>
#include <cmath>

#include "simulator/base/error.hpp"
#include "simulator/units/calendar.hpp"

namespace stepcast {
namespace {

using Parts = std::vector<Bill::Part>;

void add(Parts& parts, const char* name, Dollars amount) {
  if (amount != Dollars(0)) parts.push_back({name, amount});
}

void charge(Parts& parts, const Usage& usage, const OnDemand& terms) {
  add(parts, "GPU time on demand", terms.gpu_time * usage.gpu_time());
}

void charge(Parts& parts, const Usage& usage, const Reserved& terms) {
  CHECK(terms.term > Seconds(0), "a reservation has a term");
  const TimePrice paid = terms.gpu_time * (1 - terms.discount);
  const Seconds reserved = std::max(1.0, std::ceil(usage.wall / terms.term)) * terms.term;
  add(parts, "GPU time reserved", paid * usage.gpu_time());
  add(parts, "reserved beyond the run", paid * (usage.gpus * (reserved - usage.wall)));
}

void charge(Parts& parts, const Usage& usage, const Owned& terms) {
  CHECK(terms.life > Seconds(0), "hardware is written off over a life");
  CHECK(terms.utilisation > 0 && terms.utilisation <= 1, "a share of the hardware's life");
  const double lives = usage.gpu_time() / terms.life / terms.utilisation;  // of GPUs that are used up
  add(parts, "depreciation", terms.purchase_per_gpu * (1 - terms.residual) * lives);
  const Dollars tied_up = terms.purchase_per_gpu * ((1 + terms.residual) / 2);
  add(parts, "interest", tied_up * (terms.interest * (terms.life / year)) * lives);
  add(parts, "hosting", terms.hosting_per_gpu * (usage.gpu_time() / terms.utilisation));
  add(parts, "electricity", terms.electricity * usage.energy);
}

}  // namespace

Dollars Bill::total() const {
  Dollars sum;
  for (const Part& part : parts) sum += part.amount;
  return sum;
}

Bill bill(const Usage& usage, const Tenure& tenure, const StorageTerms& storage) {
  Bill result;
  std::visit([&](const auto& terms) { charge(result.parts, usage, terms); }, tenure);
  add(result.parts, "checkpoint storage", storage.kept * (usage.checkpoints_kept * usage.checkpoint * usage.kept_for));
  add(result.parts, "data storage", storage.kept * (usage.dataset * usage.wall));
  add(result.parts, "network egress", storage.egress * usage.egress);
  return result;
}

}  // namespace stepcast
