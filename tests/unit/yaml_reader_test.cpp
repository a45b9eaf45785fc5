#include "simulator/input/yaml_reader.hpp"

#include <functional>

#include <gtest/gtest.h>

namespace stepcast {
namespace {

/// The whole message that an action is refused with.
std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

std::string parsing(const std::string& text) {
  return refusal([&] { parse_yaml(text, "f.yaml", ""); });
}

// --- what is YAML to us ------------------------------------------------------------------------------------------

TEST(ParseYaml, KeepsTextPlaceAndOrder) {
  const YamlNode root = parse_yaml("b: 1\na:\n  - x\n  - 'y z'\n  - null\n", "f.yaml", "");
  ASSERT_EQ(root.children.size(), 2u);
  EXPECT_EQ(root.children[0].key, "b");
  const YamlNode& list = *root.find("a");
  ASSERT_EQ(list.children.size(), 3u);
  EXPECT_EQ(list.children[0].text, "x");
  EXPECT_FALSE(list.children[0].quoted);
  EXPECT_EQ(list.children[1].text, "y z");
  EXPECT_TRUE(list.children[1].quoted);
  EXPECT_EQ(list.children[1].at.line, 4);
  EXPECT_EQ(list.children[1].at.column, 5);
  EXPECT_EQ(list.children[2].kind, YamlNode::Kind::null);
  EXPECT_EQ(root.find("c"), nullptr);
}

struct Malformed {
  const char* name;
  std::string text;
  std::string message;
};

class MalformedYaml : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedYaml, IsRefusedAtItsPlace) { EXPECT_EQ(parsing(GetParam().text), GetParam().message); }

INSTANTIATE_TEST_SUITE_P(
    Texts, MalformedYaml,
    testing::Values(
        Malformed{"empty", "", "f.yaml: the file is empty"},
        Malformed{"only_a_comment", "# nothing\n", "f.yaml: the file is empty"},
        Malformed{"bracket_left_open", "a: [1, 2\n", "f.yaml:1: malformed YAML: end of sequence flow not found"},
        Malformed{"quote_left_open", "a: 'x\nb: 1\n",
                  "f.yaml:2: malformed YAML: illegal document indicator in scalar (is a quote left open?)"},
        Malformed{"quote_left_open_without_newline", "a: \"x",
                  "f.yaml:1: malformed YAML: illegal document indicator in scalar (is a quote left open?)"},
        Malformed{"two_colons", "name: a: b\n",
                  "f.yaml:1:8: malformed YAML: illegal map value (check the indentation; text with ': ' in it needs "
                  "quotes)\n"
                  "    name: a: b\n"
                  "           ^ near here"},
        Malformed{"tab", "a:\n\tb: 1\n",
                  "f.yaml:2:3: malformed YAML: illegal map value (indent with spaces, not with tabs)\n"
                  "    b: 1\n"
                  "     ^ near here"},
        Malformed{"duplicate", "plan:\n  zero: 1\n  zero: 2\n",
                  "f.yaml:3:3: 'zero' is given twice (first in line 2)\n"
                  "    zero: 2\n"
                  "    ^ near here"},
        Malformed{"alias", "a: &x 1\nb: *x\n",
                  "f.yaml:2:4: aliases (*name) are not supported: write the value out\n"
                  "    b: *x\n"
                  "       ^ near here"},
        Malformed{"tag", "a: !gpu x\n",
                  "f.yaml:1:4: tags (!name) are not supported\n"
                  "    a: !gpu x\n"
                  "       ^ near here"},
        Malformed{"list_as_key", "? [a, b]\n: 1\n",
                  "f.yaml:1:3: a key must be plain text, not a list or a map (is a bracket left open?)\n"
                  "    ? [a, b]\n"
                  "      ^ near here"},
        Malformed{"two_documents", "a: 1\n---\nb: 2\n",
                  "f.yaml:3:1: a second document begins here: a file holds one\n"
                  "    b: 2\n"
                  "    ^ near here"},
        Malformed{"not_utf8",
                  "a: 1\nname: caf\xe9"
                  "\n",
                  "f.yaml:2: this line is not UTF-8 text"}),
    [](const auto& c) { return std::string(c.param.name); });

TEST(ParseYaml, NestingIsLimited) {
  const auto nested_lists = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']') + "\n"; };
  EXPECT_EQ(parsing(nested_lists(32)), "accepted");
  EXPECT_EQ(parsing(nested_lists(33)), "f.yaml:1:33: nested more than 32 deep\n    " + std::string(33, '[') +
                                           std::string(33, ']') + "\n    " + std::string(32, ' ') + "^ near here");

  std::string indented;
  for (std::size_t depth = 0; depth < 100; ++depth) indented += std::string(depth, ' ') + "a:\n";
  EXPECT_EQ(parsing(indented), "f.yaml:33:33: nested more than 32 deep\n    a:\n    ^ near here");
}

TEST(ParseYaml, BombsAreRefusedQuickly) {
  for (const char* piece : {"[", "{", "{a: ", "- ", "? ", "[\n", "[a, ", "&a ", "! ", "-\n"}) {
    std::string bomb = "a: ";
    for (int i = 0; i < 100'000; ++i) bomb += piece;
    EXPECT_NE(parsing(bomb), "") << piece;  // whatever the verdict: no crash, and the test's time limit holds
  }
}

TEST(ParseYaml, WindowsLinesAndByteOrderMarkDoNotDisturbPlaces) {
  const YamlNode root = parse_yaml(
      "\xEF\xBB\xBF"
      "a: 1\r\nbee: x\r\n",
      "f.yaml", "");
  EXPECT_EQ(root.find("a")->text, "1");
  EXPECT_STREQ(error_at(*root.find("bee"), "no").what(), "f.yaml:2:6: no\n    bee: x\n         ^ near here");
}

TEST(ParseYaml, ColumnsCountCharacters) {
  const YamlNode root = parse_yaml("{näme: x, b: y}\n", "f.yaml", "");
  EXPECT_STREQ(error_at(*root.find("b"), "no").what(),
               "f.yaml:1:14: no\n    {näme: x, b: y}\n                 ^ near here");
}

// --- one value ---------------------------------------------------------------------------------------------------

/// Reads `v: <text>` with an action and gives the value as text, or the first line of the refusal.
template <class Read>
std::string reading(const std::string& text, Read read) {
  const YamlNode root = parse_yaml("v: " + text + "\n", "f.yaml", "");
  try {
    return read(YamlValue(root.children.at(0), "plan.v"));
  } catch (const UserError& error) {
    const std::string message = error.what();
    return message.substr(0, message.find('\n'));
  }
}

std::string reading_integer(const std::string& text, IntegerRange range = {1, 1000}) {
  return reading(text, [&](const YamlValue& value) { return std::to_string(value.integer(range)); });
}

TEST(YamlInteger, IsDecimalDigitsInItsRange) {
  EXPECT_EQ(reading_integer("8"), "8");
  EXPECT_EQ(reading_integer("1000"), "1000");
  EXPECT_EQ(reading_integer("-3", {-5, 5}), "-3");
  for (const char* text : {"0", "-8", "1001", "1e3", "8.0", "0x10", "007", "+8", "1_000", "1,000", "eight", "8 GB",
                           "1000000000000000000", "99999999999999999999", "true", ".inf"}) {
    EXPECT_EQ(reading_integer(text),
              std::string("f.yaml:1:4: plan.v must be a whole number from 1 to 1,000, not '") + text + "'");
  }
  EXPECT_EQ(reading_integer("'8'"), "f.yaml:1:4: plan.v must be a whole number from 1 to 1,000, not the text \"8\"");
  EXPECT_EQ(reading_integer("[8]"), "f.yaml:1:4: plan.v must be a whole number from 1 to 1,000, not a list");
  EXPECT_EQ(reading_integer("{a: 8}"), "f.yaml:1:4: plan.v must be a whole number from 1 to 1,000, not a map");
  EXPECT_EQ(reading_integer("0", {1}), "f.yaml:1:4: plan.v must be a whole number of at least 1, not '0'");
  EXPECT_EQ(reading_integer(std::string(50, '9')),
            "f.yaml:1:4: plan.v must be a whole number from 1 to 1,000, not a text of 50 characters");
}

std::string reading_number(const std::string& text, NumberRange range = {0, 1}) {
  return reading(text, [&](const YamlValue& value) { return number_text(value.number(range), 6); });
}

TEST(YamlNumber, IsFiniteAndInItsRange) {
  EXPECT_EQ(reading_number("0.5"), "0.500000");
  EXPECT_EQ(reading_number("1e-3"), "0.00100000");
  EXPECT_EQ(reading_number("1"), "1.00000");
  for (const char* text : {"1.5", "-0.1", "nan", ".nan", ".inf", "1e999", "0,5", "50%", "half"}) {
    EXPECT_EQ(reading_number(text), std::string("f.yaml:1:4: plan.v must be a number from 0 to 1, not '") + text + "'");
  }
  EXPECT_EQ(reading_number("-1", {}), "f.yaml:1:4: plan.v must be a number of at least 0, not '-1'");
}

TEST(YamlBoolean, IsTrueOrFalse) {
  const auto read = [](const YamlValue& value) { return std::string(value.boolean() ? "true" : "false"); };
  EXPECT_EQ(reading("true", read), "true");
  EXPECT_EQ(reading("False", read), "false");
  for (const char* text : {"yes", "on", "1", "treu"}) {
    EXPECT_EQ(reading(text, read), std::string("f.yaml:1:4: plan.v must be true or false, not '") + text + "'");
  }
  EXPECT_EQ(reading("'true'", read), "f.yaml:1:4: plan.v must be true or false, not the text \"true\"");
}

TEST(YamlText, IsAnyScalarWithoutControlCharacters) {
  const auto read = [](const YamlValue& value) { return value.text(); };
  EXPECT_EQ(reading("2.0", read), "2.0");
  EXPECT_EQ(reading("\"a b\"", read), "a b");
  EXPECT_EQ(reading("[a]", read), "f.yaml:1:4: plan.v must be text, not a list");
  EXPECT_EQ(reading("\"\\e[31m\"", read), "f.yaml:1:4: plan.v contains control characters");
}

TEST(YamlChoice, ProposesTheNearest) {
  const auto read = [](const YamlValue& value) { return value.choice("schedule", {"none", "gpipe", "1f1b"}); };
  EXPECT_EQ(reading("1f1b", read), "1f1b");
  EXPECT_EQ(reading("1f1", read),
            "f.yaml:1:4: unknown schedule '1f1', did you mean '1f1b'? (one of: none, gpipe, 1f1b)");
  EXPECT_EQ(reading("zigzag", read), "f.yaml:1:4: unknown schedule 'zigzag' (one of: none, gpipe, 1f1b)");
}

TEST(YamlQuantity, NeedsItsUnit) {
  const auto read = [](const YamlValue& value) { return to_text(value.quantity<Seconds>()); };
  EXPECT_EQ(reading("4 us", read), "4.00 us");
  EXPECT_EQ(reading("4us", read), "4.00 us");
  EXPECT_EQ(
      reading("4", read),
      "f.yaml:1:4: plan.v needs a unit after the number 4 (one of: s, ms, us, ns, ps, min, h, days, day, years, year)");
  EXPECT_EQ(reading("4 GB/s", read),
            "f.yaml:1:4: plan.v must be a number with its unit (s, ms, us, ns, ps, min, h, days, day, years, year), "
            "not '4 GB/s'");
  EXPECT_EQ(reading("nan s", read),
            "f.yaml:1:4: plan.v must be a number with its unit (s, ms, us, ns, ps, min, h, days, day, years, year), "
            "not 'nan s'");
  EXPECT_EQ(reading("-4 us", read), "f.yaml:1:4: plan.v must not be negative: -4 us");
  EXPECT_EQ(reading("[4 us]", read),
            "f.yaml:1:4: plan.v must be a number with its unit (s, ms, us, ns, ps, min, h, days, day, years, year), "
            "not a list");
}

TEST(YamlList, NamesItsItems) {
  const auto read = [](const YamlValue& value) {
    std::int64_t sum = 0;
    for (const YamlValue& item : value.list()) sum += item.integer({0, 100});
    return std::to_string(sum);
  };
  EXPECT_EQ(reading("[1, 2, 3]", read), "6");
  EXPECT_EQ(reading("[]", read), "0");
  EXPECT_EQ(reading("[1, x]", read), "f.yaml:1:8: plan.v[1] must be a whole number from 0 to 100, not 'x'");
  EXPECT_EQ(reading("3", read), "f.yaml:1:4: plan.v must be a list, not '3'");
}

// --- maps --------------------------------------------------------------------------------------------------------

TEST(YamlMap, NullIsAsGoodAsAbsent) {
  const YamlNode root = parse_yaml("{a: null, b: ~, c: 1}\n", "f.yaml", "");
  YamlMap map(YamlValue(root, ""));
  EXPECT_FALSE(map.find("a"));
  EXPECT_FALSE(map.find("b"));
  EXPECT_FALSE(map.find("d"));
  EXPECT_EQ(map.require("c").integer({}), 1);
  EXPECT_NO_THROW(map.finish());
}

TEST(YamlMap, MissingKeysAreNamed) {
  const YamlNode root = parse_yaml("plan:\n  zero: 1\nempty:\n", "f.yaml", "");
  EXPECT_EQ(refusal([&] { YamlMap(YamlValue(*root.find("plan"), "plan")).require("sequence_length"); }),
            "f.yaml:1:1: plan.sequence_length is missing\n    plan:\n    ^ near here");
  EXPECT_EQ(refusal([&] { YamlMap(YamlValue(root, "")).require("empty"); }),
            "f.yaml:3:1: empty is missing\n    empty:\n    ^ near here");
}

TEST(YamlMap, KeysThatNobodyAskedForAreRefused) {
  const YamlNode root = parse_yaml("plan:\n  tensor_parallel: 1\n  pipline: 2\n", "f.yaml", "");
  YamlMap map(YamlValue(*root.find("plan"), "plan"));
  map.find("tensor_parallel");
  map.find("pipeline");
  EXPECT_EQ(refusal([&] { map.finish(); }),
            "f.yaml:3:3: unknown plan key 'pipline', did you mean 'pipeline'? (one of: pipeline, tensor_parallel)\n"
            "    pipline: 2\n"
            "    ^ near here");
}

TEST(YamlMap, AVocabularyIsCheckedBeforeAnythingIsMissed) {
  const YamlNode root = parse_yaml("layesr: 3\n", "f.yaml", "");
  EXPECT_EQ(refusal([&] {
              YamlMap(YamlValue(root, ""), {"layers", "hidden"}).require("layers");
            }),
            "f.yaml:1:1: unknown key 'layesr', did you mean 'layers'? (one of: layers, hidden)\n"
            "    layesr: 3\n"
            "    ^ near here");
}

TEST(YamlMap, AVocabularyAndItsReaderHoldEachOther) {
  const YamlNode root = parse_yaml("layers: 3\n", "f.yaml", "");
  YamlMap map(YamlValue(root, ""), {"layers", "hidden"});
  EXPECT_THROW(map.find("width"), InternalError);
  map.find("layers");
  EXPECT_THROW(map.finish(), InternalError);
  map.skip("hidden");
  EXPECT_NO_THROW(map.finish());
}

TEST(YamlMap, IsAMap) {
  const YamlNode root = parse_yaml("plan: 3\n", "f.yaml", "");
  EXPECT_EQ(refusal([&] { YamlMap{YamlValue(*root.find("plan"), "plan")}; }),
            "f.yaml:1:7: plan must be a map of keys, not '3'\n    plan: 3\n          ^ near here");
  const YamlNode list = parse_yaml("- 3\n", "f.yaml", "");
  EXPECT_EQ(refusal([&] { YamlMap{YamlValue(list, "")}; }),
            "f.yaml:1:1: here must be a map of keys, not a list\n    - 3\n    ^ near here");
}

// --- overrides ---------------------------------------------------------------------------------------------------

YamlNode after_setting(const std::string& text, const std::string& path, const std::string& value) {
  YamlNode root = parse_yaml(text, "f.yaml", "");
  set_by_path(root, path, value);
  return root;
}

TEST(SetByPath, ReplacesAndCreates) {
  EXPECT_EQ(after_setting("plan: {zero: 1}\n", "plan.zero", "3").find("plan")->find("zero")->text, "3");
  EXPECT_EQ(after_setting("plan: null\n", "plan.zero", "3").find("plan")->find("zero")->text, "3");
  EXPECT_EQ(after_setting("a: 1\n", "plan.zero", "3").find("plan")->find("zero")->text, "3");
  EXPECT_EQ(after_setting("a: 1\n", "split", "[1, 2]").find("split")->children.size(), 2u);
  EXPECT_EQ(after_setting("a: 1\n", "a", "").find("a")->kind, YamlNode::Kind::null);
}

TEST(SetByPath, ErrorsNameTheOption) {
  const YamlNode root = after_setting("plan: {zero: 1}\n", "plan.zero", "x");
  EXPECT_STREQ(error_at(*root.find("plan")->find("zero"), "no").what(), "--set plan.zero=x: no");
  const YamlNode created = after_setting("a: 1\n", "plna.zero", "1");
  EXPECT_STREQ(error_at_key(*created.find("plna"), "no").what(), "--set plna.zero=1: no");
  EXPECT_EQ(refusal([] { after_setting("plan: 3\n", "plan.zero", "1"); }),
            "--set plan.zero=1: plan has no keys to set");
  EXPECT_EQ(refusal([] { after_setting("a: 1\n", "plan..zero", "1"); }),
            "--set plan..zero=1: a part of the key is empty: write --set plan.tensor_parallel=4");
  EXPECT_EQ(refusal([] { after_setting("a: 1\n", "a", "[1"); }),
            "--set a=[1: a key must be plain text, not a list or a map (is a bracket left open?)");
}

}  // namespace
}  // namespace stepcast
