#pragma once
/// Clock, power and temperature of one GPU, by NVML. The library belongs to the driver and is opened at run time;
/// without it every reading is empty.

#include <memory>
#include <optional>
#include <string>

namespace stepcast::measure {

struct Reading {
  std::optional<double> sm_clock_mhz, power_w, temperature_c;
};

class Sensors {
 public:
  /// @param pci_bus_id  as CUDA prints it: "0000:1B:00.0"
  explicit Sensors(const std::string& pci_bus_id);
  ~Sensors();
  Sensors(const Sensors&) = delete;
  Sensors& operator=(const Sensors&) = delete;

  /// Why there are no readings; empty when there are.
  const std::string& missing() const { return missing_; }
  std::string driver_version() const;
  std::optional<double> power_limit_w() const;
  Reading read() const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
  void* device_ = nullptr;
  std::string missing_;
};

/// The mean of the readings that were there.
class ReadingAverage {
 public:
  void add(const Reading& reading);
  Reading mean() const;

 private:
  struct Sum {
    double total = 0;
    int count = 0;
    void add(const std::optional<double>& value);
    std::optional<double> mean() const;
  };
  Sum clock_, power_, temperature_;
};

}  // namespace stepcast::measure
