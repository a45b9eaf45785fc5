#include "simulator/search/tally.hpp"

#include <cctype>

namespace stepcast {
namespace {

/// "heads (#) is no multiple of tensor_parallel (#)": reasons that differ in their numbers are one.
std::string without_numbers(const std::string& reason) {
  std::string out;
  bool number = false;
  for (std::size_t i = 0; i < reason.size(); ++i) {
    const char c = reason[i];
    const bool digit = c >= '0' && c <= '9';
    const bool inside =
        number && (c == '.' || c == ',') && i + 1 < reason.size() && reason[i + 1] >= '0' && reason[i + 1] <= '9';
    const bool of_word =
        !out.empty() && !number && (std::isalpha(static_cast<unsigned char>(out.back())) || out.back() == '-');
    if ((digit && !of_word) || inside) {
      if (!number) out += 'N';
      number = true;
      continue;
    }
    number = false;
    out += c;
  }
  return out;
}

}  // namespace

std::uint64_t Tally::infeasible_sum() const {
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : infeasible) sum += count;
  return sum;
}

Tally& Tally::operator+=(const Tally& other) {
  considered += other.considered;
  same += other.same;
  pruned += other.pruned;
  simulated += other.simulated;
  known += other.known;
  for (const auto& [reason, count] : other.infeasible) infeasible[reason] += count;
  return *this;
}

void Reasons::add(const std::string& reason, std::uint64_t count) {
  auto found = counts_.find(reason);
  if (found == counts_.end()) found = counts_.emplace(reason, 0).first;
  found->second += count;
  if (counts_.size() > 4096) fold();
}

void Reasons::add_to(Tally& tally) {
  fold();
  for (const auto& [reason, count] : folded_) tally.infeasible[reason] += count;
  folded_.clear();
}

void Reasons::fold() {
  for (const auto& [reason, count] : counts_) {
    folded_[reason.starts_with("constraint: ") ? reason : without_numbers(reason)] += count;
  }
  counts_.clear();
}

}  // namespace stepcast
