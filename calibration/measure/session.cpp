#include "calibration/measure/session.hpp"

#include <cmath>
#include <cstdio>
#include <ctime>
#include <unistd.h>

namespace stepcast::measure {
namespace {

/// Five significant digits: more is noise.
double rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", value);
  return std::strtod(text, nullptr);
}

std::optional<double> rounded(const std::optional<double>& value) {
  return value ? std::optional<double>(rounded(*value)) : std::nullopt;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// Our kernels have no other version.
std::string name_of_library(const std::string& library) { return library.empty() ? "stepcast" : library; }

/// Measured numbers of the point itself.
void round_results(MeasuredPoint& point) {
  if (auto* collective = std::get_if<CollectivePoint>(&point)) {
    collective->algbw = rounded(collective->algbw);
    collective->busbw = rounded(collective->busbw);
  } else if (auto* overlap = std::get_if<OverlapPoint>(&point)) {
    overlap->alone_us = rounded(overlap->alone_us);
    overlap->other_alone_us = rounded(overlap->other_alone_us);
    overlap->other_us = rounded(overlap->other_us);
  } else if (auto* clock = std::get_if<ClockPoint>(&point)) {
    clock->tflops = rounded(clock->tflops);
    clock->gbps = rounded(clock->gbps);
  }
}

}  // namespace

std::string describe(const MeasuredPoint& point) {
  Measurement measurement;
  measurement.point = point;
  const std::string key = key_of(measurement);  // "gemm on  by : m=4096 ..."
  return std::string(kind_of(point)) + key.substr(key.find(": ") + 1);
}

Session::Session(Options options, Device device, Job job, std::function<bool()> stop_requested)
    : options_(std::move(options)),
      device_(std::move(device)),
      job_(std::move(job)),
      sensors_(device_.pci_bus_id),
      stop_requested_(std::move(stop_requested)) {
  if (job_.rank == 0) log_.emplace(options_.out);
  if (!sensors_.missing().empty()) leave_out("clocks, power and temperature", sensors_.missing());
}

Measurement Session::header(const std::string& library, const MeasuredPoint& point) const {
  Measurement m;
  m.gpu = preset_of_device(device_.name);
  m.device = device_.name;
  m.sms = device_.sms;
  m.driver = sensors_.driver_version();
  m.cuda = device_.cuda;
  m.library = name_of_library(library);
  m.point = point;
  return m;
}

bool Session::has(const std::string& library, const MeasuredPoint& point) const {
  return log_ && log_->has(header(library, point));
}

void Session::check_stop() const {
  if (stop_requested_()) throw Stopped{"interrupted"};
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  if (elapsed.count() > options_.seconds) throw Stopped{"the time is up (--seconds)"};
}

void Session::measure(const std::string& library, const MeasuredPoint& point, const Work& work) {
  if (has(library, point)) return skip_existing();
  check_stop();
  begin(point);
  MeasuredPoint completed = point;
  try {
    const Outcome outcome = work(completed);
    record(library, completed, outcome);
  } catch (const Unsupported& unsupported) {
    leave_out(describe(point), unsupported.what());
  } catch (const WrongResult& wrong) {
    reject(point, wrong.what());
  }
}

void Session::record(const std::string& library, const MeasuredPoint& point, const Outcome& outcome) {
  ++measured_;
  if (!log_) return;
  Measurement m = header(library, point);
  round_results(m.point);
  const Timing& timing = outcome.timing;
  m.date = utc_now();
  m.repeats = timing.repeats;
  m.time_us = rounded(timing.median_us);
  m.time_us_min = rounded(timing.min_us);
  m.time_us_p90 = rounded(timing.p90_us);
  m.sm_clock_mhz = rounded(timing.sensors.sm_clock_mhz);
  m.power_w = rounded(timing.sensors.power_w);
  m.temperature_c = rounded(timing.sensors.temperature_c);
  m.verified = outcome.verified;
  log_->append(m);
}

void Session::leave_out(const std::string& what, const std::string& why) { left_out_[why].push_back(what); }

void Session::reject(const MeasuredPoint& point, const std::string& why) {
  wrong_.push_back(describe(point) + ": " + why);
}

void Session::note(const std::string& text) {
  if (job_.rank != 0) return;
  std::fprintf(stderr, isatty(STDERR_FILENO) == 1 ? "\r\033[K%s\n" : "%s\n", text.c_str());
}

void Session::begin(const MeasuredPoint& point) {
  if (job_.rank != 0 || isatty(STDERR_FILENO) != 1) return;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  std::fprintf(stderr, "\r\033[K%4.0f s  %4d measured  %.100s", elapsed.count(), measured_, describe(point).c_str());
  std::fflush(stderr);
}

std::string Session::summary() const {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  std::string text = std::to_string(measured_) + " points measured in " + formatted("%.0f s", elapsed.count());
  if (skipped_ > 0) text += ", " + std::to_string(skipped_) + " were there already";
  text += ": " + options_.out + "\n";
  if (!left_out_.empty()) text += "Not measured:\n";
  for (const auto& [why, what] : left_out_) {
    text += "  " + what.front();
    if (what.size() > 1) text += " and " + std::to_string(what.size() - 1) + " more";
    text += ": " + why + "\n";
  }
  if (!wrong_.empty()) text += "Wrong results, not recorded:\n";
  for (const std::string& wrong : wrong_) text += "  " + wrong + "\n";
  return text;
}

}  // namespace stepcast::measure
