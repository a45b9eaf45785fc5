#include "simulator/base/error.hpp"

#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <gtest/gtest.h>

#include "simulator/base/files.hpp"
#include "simulator/base/text_table.hpp"
#include "simulator/base/utf8.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;

// --- UserError ---------------------------------------------------------------------------------------------------

TEST(UserErrorMessage, PlaceProblemAndCaret) {
  const UserError error({"scenarios/llama3-70b.yaml", 7, 8}, "unknown GPU 'h10-sxm', did you mean 'h100-sxm'?",
                        "  gpu: h10-sxm");
  EXPECT_STREQ(error.what(),
               "scenarios/llama3-70b.yaml:7:8: unknown GPU 'h10-sxm', did you mean 'h100-sxm'?\n"
               "    gpu: h10-sxm\n"
               "         ^ near here");
}

TEST(UserErrorMessage, LeavesOutWhatIsNotKnown) {
  EXPECT_STREQ(UserError("no").what(), "no");
  EXPECT_STREQ(UserError({}, "no", "a: b").what(), "no");
  EXPECT_STREQ(UserError({"f.yaml"}, "no").what(), "f.yaml: no");
  EXPECT_STREQ(UserError({"f.yaml", 3}, "no", "a: b").what(), "f.yaml:3: no");
  EXPECT_STREQ(UserError({"f.yaml", 3, 1}, "no", "   ").what(), "f.yaml:3:1: no");
}

TEST(UserErrorMessage, CaretCountsCharactersAndTerminalColumns) {
  EXPECT_STREQ(UserError({"f", 1, 7}, "no", "\tnäme: x").what(), "f:1:7: no\n    näme: x\n         ^ near here");
  EXPECT_STREQ(UserError({"f", 1, 4}, "no", "模型: x").what(), "f:1:4: no\n    模型: x\n         ^ near here");
}

TEST(UserErrorMessage, CaretBehindTheEndStaysAtTheEnd) {
  EXPECT_STREQ(UserError({"f", 1, 99}, "no", "a: b").what(), "f:1:99: no\n    a: b\n        ^ near here");
}

TEST(UserErrorMessage, LongLinesAreCutAroundTheCaret) {
  const std::string line = std::string(300, 'x') + "HERE" + std::string(300, 'y');
  EXPECT_EQ(UserError({"f", 1, 301}, "no", line).what(), "f:1:301: no\n    ..." + std::string(50, 'x') + "HERE" +
                                                             std::string(46, 'y') + "...\n" + std::string(57, ' ') +
                                                             "^ near here");
}

TEST(UserErrorMessage, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_STREQ(UserError({"f", 1, 1}, "no", "a\x1b[31m\xff").what(), "f:1:1: no\n    a [31m \n    ^ near here");
}

TEST(Check, SaysWhatMustHoldAndThrowsOurFault) {
  EXPECT_NO_THROW(CHECK(1 + 1 == 2, "arithmetic"));
  try {
    CHECK(1 + 1 == 3, "two and two");
    FAIL() << "CHECK let it pass";
  } catch (const InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("internal error: two and two (1 + 1 == 3)"), std::string::npos)
        << error.what();
  }
}

// --- did you mean ------------------------------------------------------------------------------------------------

TEST(NearestName, ToleratesTyposOnly) {
  const std::vector<std::string> names{"tensor_parallel", "pipeline_parallel", "zero", "h100-80gb-sxm",
                                       "a100-40gb-sxm"};
  EXPECT_EQ(nearest_name("tensor_paralel", names), "tensor_parallel");    // a letter is missing
  EXPECT_EQ(nearest_name("tensor_parrallel", names), "tensor_parallel");  // one too many
  EXPECT_EQ(nearest_name("tensro_parallel", names), "tensor_parallel");   // two swapped: one mistake
  EXPECT_EQ(nearest_name("TENSOR-PARALLEL", names), "tensor_parallel");   // case does not count
  EXPECT_EQ(nearest_name("zreo", names), "zero");
  EXPECT_EQ(nearest_name("h100", names), "h100-80gb-sxm");  // stops short
  EXPECT_EQ(nearest_name("price", names), "");
  EXPECT_EQ(nearest_name("x", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("zero", {}), "");
  EXPECT_EQ(nearest_name(std::string(1'000'000, 'z'), names), "");
}

TEST(UnknownName, ProposesAndLists) {
  EXPECT_EQ(unknown_name("GPU", "h10", {"h100", "a100"}),
            "unknown GPU 'h10', did you mean 'h100'? (one of: h100, a100)");
  EXPECT_EQ(unknown_name("GPU", "mine", {"h100", "a100"}), "unknown GPU 'mine' (one of: h100, a100)");
  EXPECT_EQ(unknown_name("GPU", "mine", {}), "unknown GPU 'mine'");
  const std::vector<std::string> many(14, "n");
  EXPECT_EQ(unknown_name("letter", "?!?!", many),
            "unknown letter '?!?!' (one of: n, n, n, n, n, n, n, n, n, n, n, n and 2 more)");
}

// --- UTF-8 -------------------------------------------------------------------------------------------------------

TEST(Utf8, FindsWhatIsInvalid) {
  EXPECT_EQ(first_invalid_utf8("plain, ä, 模, 🙂"), std::string("plain, ä, 模, 🙂").size());
  EXPECT_EQ(first_invalid_utf8("ab\xff"), 2u);
  EXPECT_EQ(first_invalid_utf8("\xc0\x80"), 0u);          // longer than needed
  EXPECT_EQ(first_invalid_utf8("\xed\xa0\x80"), 0u);      // a surrogate
  EXPECT_EQ(first_invalid_utf8("\xf4\x90\x80\x80"), 0u);  // beyond Unicode
  EXPECT_EQ(first_invalid_utf8("\xe6\xa8"), 0u);          // cut short
}

TEST(Utf8, WidthInTerminalColumns) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("näh"), 3u);
  EXPECT_EQ(display_width("模型"), 4u);
  EXPECT_EQ(display_width("e\xcc\x81"), 1u);  // e and a combining accent
  EXPECT_EQ(display_width("\xff"), 1u);
}

// --- tables ------------------------------------------------------------------------------------------------------

TEST(TextTable, AlignsColumnsUnderAnUnderlinedHeader) {
  TextTable table({{"GPU"}, {"step", Align::right}});
  EXPECT_TRUE(table.empty());
  table.add_row({"a100-80gb-sxm", "13.6 s"});
  table.add_row({"模型", "1 us"});
  table.add_row({"", ""});
  EXPECT_EQ(table.to_string(),
            "GPU              step\n"
            "-------------  ------\n"
            "a100-80gb-sxm  13.6 s\n"
            "模型             1 us\n"
            "\n");
}

TEST(TextTable, WithoutTitlesThereIsNoHeader) {
  TextTable table({{""}, {""}});
  table.add_row({"a", "b"});
  EXPECT_EQ(table.to_string(), "a  b\n");
}

TEST(TextTable, ARowHasACellForEachColumn) {
  TextTable table({{"a"}, {"b"}});
  EXPECT_THROW(table.add_row({"only one"}), InternalError);
}

// --- files -------------------------------------------------------------------------------------------------------

class Files : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("stepcast-files-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  void put(const std::string& name, std::string_view content) const {
    std::ofstream(path(name), std::ios::binary) << content;
  }

  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  /// The message, with the folder's name cut off.
  template <class Action>
  std::string refusal(Action action) const {
    try {
      action();
    } catch (const UserError& error) {
      std::string message = error.what();
      const std::string prefix = folder_.string() + "/";
      for (auto at = message.find(prefix); at != std::string::npos; at = message.find(prefix)) {
        message.erase(at, prefix.size());
      }
      return message;
    }
    return "accepted";
  }

  fs::path folder_;
};

TEST_F(Files, ReadsTheWholeText) {
  put("a", "one\ntwo\r\n");
  EXPECT_EQ(read_file(path("a")), "one\ntwo\r\n");
  put("empty", "");
  EXPECT_EQ(read_file(path("empty")), "");
  put("large", std::string(300'000, 'x'));
  EXPECT_EQ(read_file(path("large")).size(), 300'000u);
}

TEST_F(Files, RefusesWhatIsNoTextFile) {
  EXPECT_EQ(refusal([&] { read_file(path("none")); }), "cannot read none: No such file or directory");
  fs::create_directory(folder_ / "sub");
  EXPECT_EQ(refusal([&] { read_file(path("sub")); }), "cannot read sub: it is a folder");
  put("binary", std::string_view("a\0b", 3));
  EXPECT_EQ(refusal([&] { read_file(path("binary")); }),
            "cannot read binary: it is not a text file (it contains NUL bytes)");
  put("large", std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(refusal([&] { read_file(path("large"), 1 << 20); }), "cannot read large: it is larger than 1 MiB");
}

TEST_F(Files, WritingReplacesTheWholeFile) {
  put("out", "old and long");
  write_file_atomically(path("out"), "new");
  EXPECT_EQ(read_file(path("out")), "new");
  EXPECT_EQ(files(), 1u);  // nothing temporary is left
}

TEST_F(Files, WritingFollowsALinkToItsFile) {
  put("target", "old");
  fs::create_symlink(path("target"), path("link"));
  write_file_atomically(path("link"), "new");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(read_file(path("target")), "new");
}

TEST_F(Files, FailedWritingSaysWhyAndLeavesNothing) {
  EXPECT_EQ(refusal([&] { write_file_atomically(path("none/out"), "x"); }),
            "cannot write none/out: No such file or directory");
  fs::create_directory(folder_ / "sub");
  EXPECT_EQ(refusal([&] { write_file_atomically(path("sub"), "x"); }), "cannot write sub: it is a folder");
  EXPECT_EQ(files(), 1u);
}

TEST_F(Files, WhatIsNoRegularFileIsWrittenInPlace) {
  EXPECT_NO_THROW(write_file_atomically("/dev/null", "x"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  if (fs::exists("/dev/full")) {
    EXPECT_EQ(refusal([&] { write_file_atomically("/dev/full", "x"); }),
              "cannot write /dev/full: No space left on device");
  }
}

}  // namespace
}  // namespace stepcast
