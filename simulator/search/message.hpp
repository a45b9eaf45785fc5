#pragma once
/// Values to bytes and back, between processes of one program on machines of one kind.

#include <cstring>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "simulator/base/error.hpp"

namespace stepcast {

class MessageWriter {
 public:
  template <class T>
  void put(const T& value) requires std::is_trivially_copyable_v<T> {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  template <class T>
  void put(const std::vector<T>& values) requires std::is_trivially_copyable_v<T> {
    put(values.size());
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  }
  void put(const std::string& text) {
    put(text.size());
    bytes_ += text;
  }
  template <class T>
  void put(const std::map<std::string, T>& map) {
    put(map.size());
    for (const auto& [key, value] : map) put(key), put(value);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class MessageReader {
 public:
  explicit MessageReader(const std::string& bytes) : bytes_(bytes) {}

  template <class T>
  void get(T& value) requires std::is_trivially_copyable_v<T> {
    std::memcpy(&value, next(sizeof value), sizeof value);
  }
  template <class T>
  T get() {
    T value{};
    get(value);
    return value;
  }
  template <class T>
  void get(std::vector<T>& values) requires std::is_trivially_copyable_v<T> {
    values.resize(get<std::size_t>());
    if (!values.empty()) std::memcpy(values.data(), next(values.size() * sizeof(T)), values.size() * sizeof(T));
  }
  void get(std::string& text) {
    const auto size = get<std::size_t>();
    text.assign(next(size), size);
  }
  template <class T>
  void get(std::map<std::string, T>& map) {
    for (auto left = get<std::size_t>(); left > 0; --left) {
      const auto key = get<std::string>();
      get(map[key]);
    }
  }

 private:
  const char* next(std::size_t size) {
    CHECK(bytes_.size() - at_ >= size, "both processes are the same program");
    return bytes_.data() + std::exchange(at_, at_ + size);
  }
  const std::string& bytes_;
  std::size_t at_ = 0;
};

}  // namespace stepcast
