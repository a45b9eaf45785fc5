#pragma once
/// The program as a user runs it, in the repository's root.

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "simulator/base/files.hpp"

namespace stepcast {

struct Outcome {
  int exit = -1;
  std::string out, err;
};

/// @param command  as typed at a shell
/// @param err      file for its commentary
inline Outcome shell(const std::string& command, const std::string& err) {
  std::FILE* pipe = popen(("cd " STEPCAST_SOURCE_DIR " && { " + command + " ; } 2>" + err).c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  Outcome outcome;
  std::array<char, 4096> block{};
  while (const std::size_t got = std::fread(block.data(), 1, block.size(), pipe)) outcome.out.append(block.data(), got);
  const int status = pclose(pipe);
  outcome.exit = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.err = read_file(err);
  return outcome;
}

/// @param arguments of stepcast, as typed at a shell
inline Outcome run(const std::string& arguments, const std::string& err) {
  return shell(std::string(STEPCAST_BINARY) + " " + arguments, err);
}

/// Without a folder to keep anything in.
inline Outcome run(const std::string& arguments) {
  std::string err = testing::TempDir() + "stepcast-stderr-XXXXXX";
  const int descriptor = mkstemp(err.data());
  EXPECT_NE(descriptor, -1);
  close(descriptor);
  Outcome outcome = run(arguments, err);
  std::filesystem::remove(err);
  return outcome;
}

/// A folder of the test's own, gone with it.
class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "stepcast-cli-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

  Outcome run(const std::string& arguments) const { return stepcast::run(arguments, path("stderr")); }
  Outcome shell(const std::string& command) const { return stepcast::shell(command, path("stderr")); }

  std::filesystem::path folder_;
};

}  // namespace stepcast
