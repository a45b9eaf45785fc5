#include "simulator/search/leaders.hpp"

#include <algorithm>

namespace stepcast {

void Leaders::keep(const Result& result, double score) {
  const Best entry{score, result};
  const auto place = std::upper_bound(best_.begin(), best_.end(), entry);
  if (static_cast<std::size_t>(place - best_.begin()) >= top_) return;
  best_.insert(place, entry);
  if (best_.size() > top_) best_.pop_back();
}

std::vector<Result> Leaders::best() const {
  std::vector<Result> results;
  for (const Best& best : best_) results.push_back(best.result);
  return results;
}

void Leaders::add_to_front(const Result& result, double first, double second) {
  const auto number = [](const Result& r) { return std::tie(r.variant, r.id); };
  for (const Point& point : front_) {
    if (point.first > first || point.second > second) continue;
    if (point.first < first || point.second < second || number(point.result) <= number(result)) return;
  }
  std::erase_if(front_, [&](const Point& point) { return first <= point.first && second <= point.second; });
  front_.push_back({first, second, result});
}

bool Leaders::dominate(double first, double second) const {
  return std::any_of(front_.begin(), front_.end(), [&](const Point& point) {
    return point.first <= first && point.second <= second && (point.first < first || point.second < second);
  });
}

std::vector<Result> Leaders::front() const {
  std::vector<Point> points = front_;
  std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.first < b.first; });
  std::vector<Result> results;
  for (const Point& point : points) results.push_back(point.result);
  return results;
}

}  // namespace stepcast
