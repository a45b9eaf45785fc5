#include "calibration/measure/nvml.hpp"

#include <dlfcn.h>

namespace stepcast::measure {
namespace {

// The little of nvml.h that is needed: the header belongs to the toolkit and may be absent. The ABI is stable.
using Device = void*;
using Code = int;
constexpr Code success = 0;
constexpr unsigned sm_clock = 1;               // NVML_CLOCK_SM
constexpr unsigned gpu_temperature = 0;        // NVML_TEMPERATURE_GPU
constexpr unsigned instant_power_field = 186;  // NVML_FI_DEV_POWER_INSTANT; nvmlDeviceGetPowerUsage averages a second

struct FieldValue {
  unsigned field = 0, scope = 0;
  long long timestamp = 0, latency = 0;
  unsigned type = 0;
  Code code = -1;
  union {
    double as_double;
    unsigned as_unsigned;
    unsigned long long as_long;
  } value{};
};

}  // namespace

struct Sensors::Library {
  void* handle = nullptr;
  Code (*init)() = nullptr;
  Code (*shutdown)() = nullptr;
  const char* (*error_string)(Code) = nullptr;
  Code (*driver_version)(char*, unsigned) = nullptr;
  Code (*device_by_bus)(const char*, Device*) = nullptr;
  Code (*clock)(Device, unsigned, unsigned*) = nullptr;
  Code (*power)(Device, unsigned*) = nullptr;
  Code (*power_limit)(Device, unsigned*) = nullptr;
  Code (*temperature)(Device, unsigned, unsigned*) = nullptr;
  Code (*field_values)(Device, int, FieldValue*) = nullptr;
  bool started = false;

  ~Library() {
    if (started) shutdown();
    if (handle) dlclose(handle);
  }

  template <class Function>
  bool find(Function*& function, const char* name) {
    function = reinterpret_cast<Function*>(dlsym(handle, name));
    return function != nullptr;
  }
};

Sensors::Sensors(const std::string& pci_bus_id) : library_(std::make_unique<Library>()) {
  Library& l = *library_;
  l.handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!l.handle) {
    missing_ = "libnvidia-ml.so.1 is not there";
    return;
  }
  const bool complete =
      l.find(l.init, "nvmlInit_v2") && l.find(l.shutdown, "nvmlShutdown") &&
      l.find(l.error_string, "nvmlErrorString") && l.find(l.driver_version, "nvmlSystemGetDriverVersion") &&
      l.find(l.device_by_bus, "nvmlDeviceGetHandleByPciBusId_v2") && l.find(l.clock, "nvmlDeviceGetClockInfo") &&
      l.find(l.power, "nvmlDeviceGetPowerUsage") && l.find(l.power_limit, "nvmlDeviceGetEnforcedPowerLimit") &&
      l.find(l.temperature, "nvmlDeviceGetTemperature");
  l.find(l.field_values, "nvmlDeviceGetFieldValues");
  if (!complete) {
    missing_ = "libnvidia-ml.so.1 lacks functions";
    return;
  }
  Code code = l.init();
  l.started = code == success;
  if (l.started) code = l.device_by_bus(pci_bus_id.c_str(), &device_);
  if (code != success) {
    missing_ = std::string("NVML: ") + l.error_string(code);
    device_ = nullptr;
  }
}

Sensors::~Sensors() = default;

std::string Sensors::driver_version() const {
  char version[96] = "";
  if (!library_->started || library_->driver_version(version, sizeof version) != success) return {};
  return version;
}

std::optional<double> Sensors::power_limit_w() const {
  unsigned milliwatts = 0;
  if (!device_ || library_->power_limit(device_, &milliwatts) != success) return {};
  return milliwatts / 1000.0;
}

Reading Sensors::read() const {
  Reading reading;
  if (!device_) return reading;
  const Library& l = *library_;
  unsigned value = 0;
  if (l.clock(device_, sm_clock, &value) == success) reading.sm_clock_mhz = value;
  if (l.temperature(device_, gpu_temperature, &value) == success) reading.temperature_c = value;

  FieldValue power;
  power.field = instant_power_field;
  if (l.field_values && l.field_values(device_, 1, &power) == success && power.code == success)
    reading.power_w = power.value.as_unsigned / 1000.0;
  else if (l.power(device_, &value) == success)
    reading.power_w = value / 1000.0;
  return reading;
}

void ReadingAverage::Sum::add(const std::optional<double>& value) {
  if (!value) return;
  total += *value;
  ++count;
}

std::optional<double> ReadingAverage::Sum::mean() const {
  return count > 0 ? std::optional<double>(total / count) : std::nullopt;
}

void ReadingAverage::add(const Reading& reading) {
  clock_.add(reading.sm_clock_mhz);
  power_.add(reading.power_w);
  temperature_.add(reading.temperature_c);
}

Reading ReadingAverage::mean() const { return {clock_.mean(), power_.mean(), temperature_.mean()}; }

}  // namespace stepcast::measure
