#include "calibration/fit/profile_text.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace stepcast {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result + "\"";
}

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts(1);
  for (const char c : path) {
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

/// Lines of a YAML map that grows in depth-first order.
class Writer {
 public:
  void open(const std::vector<std::string>& folders) {
    std::size_t same = 0;
    while (same < folders.size() && same < open_.size() && folders[same] == open_[same]) ++same;
    for (std::size_t i = same; i < folders.size(); ++i) text_ += std::string(2 * i, ' ') + folders[i] + ":\n";
    open_ = folders;
  }
  void line(const std::string& content) { text_ += std::string(2 * open_.size(), ' ') + content + "\n"; }
  const std::string& text() const { return text_; }

 private:
  std::vector<std::string> open_;
  std::string text_;
};

template <class T>
std::string list_of(const std::vector<T>& values) {
  return fmt::format("[{}]", fmt::join(values, ", "));
}

void write_surface(Writer& writer, const ResidualSurface& surface) {
  const auto& [m, n, k] = surface.axes;
  writer.line("m: " + list_of(m) + "   # log2 of the sizes at the grid points");
  writer.line("n: " + list_of(n));
  writer.line("k: " + list_of(k));
  const auto rows = [&](const char* key, const auto& values, const char* comment) {
    writer.line(fmt::format("{}:{}", key, comment));
    const std::size_t slice = n.size() * k.size();
    for (std::size_t i = 0; i < m.size(); ++i) {
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(i * slice);
      writer.line(fmt::format("{}{}{}", i == 0 ? "  [" : "   ",
                              fmt::join(begin, begin + static_cast<std::ptrdiff_t>(slice), ", "),
                              i + 1 < m.size() ? "," : "]"));
    }
  };
  rows("log_ratio", surface.log_ratio, "   # ln(measured / formula): a line for each m, in it n by n, k fastest");
  rows("support", surface.support, "   # measurements next to each point");
  writer.line("basis: fitted");
  writer.line("source: " + quoted(surface.source));
}

}  // namespace

std::string profile_text(const Fit& fit, const std::string& base, const std::string& description) {
  Writer writer;
  writer.line("# Written by `stepcast calibrate fit`. Speeds are burst speeds; what is not here is the base's.");
  writer.line("extends: " + base);
  writer.line("description: " + quoted(description));
  // Maps are opened once: what belongs together is brought together, in the order of first appearance.
  struct Item {
    std::vector<std::string> path;
    const FittedNumber* number;
    const ResidualSurface* surface;
  };
  std::vector<Item> items;
  std::vector<std::string> order;
  const auto rank = [&](const std::string& folder) {
    const auto found = std::find(order.begin(), order.end(), folder);
    if (found != order.end()) return static_cast<std::size_t>(found - order.begin());
    order.push_back(folder);
    return order.size() - 1;
  };
  for (const FittedNumber& number : fit.numbers) items.push_back({parts_of(number.path), &number, nullptr});
  for (const FittedSurface& surface : fit.surfaces)
    items.push_back({parts_of(surface.path), nullptr, &surface.surface});
  const auto prefix = [](const Item& item, std::size_t depth) {
    std::string text;
    for (std::size_t i = 0; i < depth && i + 1 < item.path.size(); ++i) text += item.path[i] + ".";
    return text;
  };
  for (const Item& item : items)
    for (std::size_t depth = 1; depth < item.path.size(); ++depth) rank(prefix(item, depth));
  std::stable_sort(items.begin(), items.end(), [&](const Item& a, const Item& b) {
    for (std::size_t depth = 1; depth < std::max(a.path.size(), b.path.size()); ++depth)
      if (prefix(a, depth) != prefix(b, depth)) return rank(prefix(a, depth)) < rank(prefix(b, depth));
    return false;
  });
  for (const Item& item : items) {
    if (item.surface != nullptr) {
      writer.open(item.path);
      write_surface(writer, *item.surface);
    } else {
      writer.open({item.path.begin(), item.path.end() - 1});
      writer.line(fmt::format("{}: {{value: {}, basis: fitted, source: {}}}", item.path.back(), item.number->value,
                              quoted(item.number->source)));
    }
  }
  return writer.text();
}

}  // namespace stepcast
