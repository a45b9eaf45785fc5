/// Any bytes as a scenario: a job or one clear UserError, never a crash or a hang.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include "simulator/base/error.hpp"
#include "simulator/input/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path =
      (std::filesystem::temp_directory_path() / ("stepcast-fuzz-" + std::to_string(::getpid()) + ".yaml")).string();
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    stepcast::load_job(path);
  } catch (const stepcast::UserError& error) {
    if (std::string(error.what()).empty()) std::abort();  // a refusal says why
  }
  return 0;
}
