// SPDX-License-Identifier: Apache-2.0
// JSON from elsewhere: numbers that are not finite, where they are asked for and nowhere else.
#include "base/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace metallic {
namespace {

Result<Json> read(std::string_view text) { return parse_json(text, "x.json", 1000, NonFinite::read_as_null); }

TEST(Json, ReadsNonFiniteNumbersAsNull) {
  for (const char* number : {"NaN", "-NaN", "nan", "-nan", "inf", "-inf", "Infinity", "-Infinity", "INF"}) {
    const std::string text = fmt::format("{{\"a\":[0,{0}],\"b\":{0}}}", number);
    const auto json = read(text);
    ASSERT_TRUE(json) << text << ": " << json.error().message;
    EXPECT_EQ(json->dump(), R"({"a":[0,null],"b":null})");
    EXPECT_FALSE(parse_json(text, "x.json", 1000)) << "unless asked to";
  }
}

TEST(Json, LeavesStringsAlone) {
  const char* text = R"({"NaN": "-Infinity \" NaN \\", "x": "inf"})";
  EXPECT_EQ(*read(text), *parse_json(text, "x.json", 1000));
}

TEST(Json, IsAsStrictAsBeforeAboutOtherWords) {
  for (const char* text : {"NaNs", "1NaN", "nanx", "--inf", "- inf", "infinit", "N", "-", "\"", "\"\\", "[NaN", "{NaN: 1}", ""})
    EXPECT_FALSE(read(text)) << text;
  EXPECT_FALSE(read(std::string(1001, ' ')));
}

TEST(Json, TellsTheByteOfAFaultInTheFileAsItIs) {
  const auto plain = parse_json("[0.1, 3.1, }", "x.json", 1000), with = read("[NaN, nan, }");
  ASSERT_FALSE(plain);
  ASSERT_FALSE(with);
  EXPECT_EQ(with.error().message, plain.error().message);
}

}  // namespace
}  // namespace metallic
