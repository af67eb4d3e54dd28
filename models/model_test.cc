// Models: what a configuration must say, and that the problems made from it are the ones its inference runs.
#include "models/model.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/label.h"

namespace metallic {
namespace {

std::string error_of(const auto& result) { return result ? "accepted" : result.error().message; }

std::string config(std::string_view key = "", std::string_view value = "") {
  std::map<std::string_view, std::string_view> members = {{"hidden_size", "4096"},
                                                          {"intermediate_size", "14336"},
                                                          {"num_attention_heads", "32"},
                                                          {"num_key_value_heads", "8"},
                                                          {"num_hidden_layers", "32"},
                                                          {"vocab_size", "128256"},
                                                          {"max_position_embeddings", "131072"}};
  if (!key.empty()) members[key] = value;
  std::string text;
  for (const auto& [name, number] : members)
    if (!number.empty()) text += fmt::format("{}\"{}\": {}", text.empty() ? "{" : ", ", name, number);
  return text + "}";
}

TEST(Models, UnknownNamesAreAnsweredWithTheKnownOnes) {
  const auto names = model_names();
  ASSERT_FALSE(names.empty());
  for (const std::string& name : names) EXPECT_TRUE(find_model(name)) << error_of(find_model(name));
  const auto unknown = find_model("llama\n-0");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::not_found);
  EXPECT_NE(unknown.error().message.find(R"("llama\n-0")"), std::string::npos) << unknown.error().message;
  for (const std::string& name : names) EXPECT_NE(unknown.error().message.find(name), std::string::npos);
}

TEST(Models, DefaultsAreThoseOfHuggingFace) {
  const auto grouped = parse_model(config(), "m", "config.json");
  ASSERT_TRUE(grouped) << error_of(grouped);
  EXPECT_EQ(grouped->kv_heads, 8);
  EXPECT_EQ(grouped->head_dim, 128);
  for (const char* none : {"", "null"})
    EXPECT_EQ(parse_model(config("num_key_value_heads", none), "m", "c")->kv_heads, 32) << none;
  EXPECT_EQ(parse_model(config("head_dim", "64"), "m", "c")->head_dim, 64);
  EXPECT_EQ(parse_model(config("head_dim", "null"), "m", "c")->head_dim, 128);
}

TEST(Models, FaultsNameFileAndField) {
  for (const char* key : {"hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size",
                          "max_position_embeddings", "num_key_value_heads", "head_dim"})
    for (const char* value : {"", "0", "-1", "99999999999999999999", "9223372036854775807", "1.5", "\"4096\"", "[1]"}) {
      const bool optional = std::string_view(value).empty() &&
                            (std::string_view(key) == "num_key_value_heads" || std::string_view(key) == "head_dim");
      const auto model = parse_model(config(key, value), "m", "config.json");
      EXPECT_EQ(model.has_value(), optional) << key << ": " << value;
      if (!model) {
        EXPECT_NE(model.error().message.find(fmt::format("config.json: {} is ", key)), std::string::npos)
            << model.error().message;
      }
    }
  EXPECT_FALSE(parse_model(config("num_key_value_heads", "33"), "m", "c")) << "more key heads than heads";
  EXPECT_FALSE(parse_model("", "m", "c"));
  EXPECT_FALSE(parse_model("[]", "m", "c"));
  EXPECT_FALSE(parse_model(config().substr(0, 60), "m", "c"));
}

TEST(Models, ProblemsOfLlamaAreItsProjections) {
  const auto problems = model_problems(*find_model("llama-3.1-8b"));
  std::map<std::string, std::string> roles;
  std::map<int64_t, double> weight_of_tokens;
  std::set<std::string> labels;
  for (const auto& [problem, weight, typed, role] : problems) {
    EXPECT_TRUE(validate(problem)) << label(problem);
    EXPECT_GT(weight, 0) << label(problem);
    EXPECT_TRUE(labels.insert(label(problem)).second) << label(problem) << " twice";
    EXPECT_TRUE(parse_label(label(problem)) == problem) << label(problem);
    roles[label(problem)] = role;
    if (problem.op() == Op::matmul && problem.matmul().tb) weight_of_tokens[problem.matmul().m] += weight;
  }
  EXPECT_EQ(roles["1x4096x6144_tb"], "qkv");  // 32 heads and twice 8 key heads of 128
  EXPECT_EQ(roles["1x4096x4096_tb"], "o");
  EXPECT_EQ(roles["16x4096x28672_tb"], "gate_up");
  EXPECT_EQ(roles["64x14336x4096_tb"], "down");
  EXPECT_EQ(roles["1x4096x16032_tb"], "lm_head (1/8 proxy)");
  EXPECT_EQ(roles["4096x4096x8"], "o, weights first");
  EXPECT_EQ(roles["256x128x17"], "small GEMM");
  EXPECT_EQ(roles["rows1_seqk131072"], "one row");
  EXPECT_EQ(roles["rows32_seqk64"], "decode, all heads");
  EXPECT_EQ(roles["batch32_seqq64_seqk1024_causal"], "prefill, causal");
  ASSERT_EQ(weight_of_tokens.size(), 7u);
  for (const auto& [tokens, weight] : weight_of_tokens) EXPECT_NEAR(weight, 1, 1e-12) << tokens << " tokens";
}

TEST(ProblemList, TakesRangesWeightsAndComments) {
  const auto list =
      parse_problem_list("# attention\nrows1+2_seqk64..256 0.5 # twice three\r\n\n\t 8x16x4_tb\n1x2x3 2e-1", "list");
  ASSERT_TRUE(list) << error_of(list);
  ASSERT_EQ(list->size(), 8u);
  EXPECT_EQ(label((*list)[0].problem), "rows1_seqk64");
  EXPECT_EQ(label((*list)[5].problem), "rows2_seqk256");
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ((*list)[i].weight, 0.5);
  EXPECT_EQ(label((*list)[6].problem), "8x16x4_tb");
  EXPECT_EQ((*list)[6].weight, 1);
  EXPECT_EQ((*list)[7].weight, 0.2);
}

TEST(ProblemList, AModelsOwnListIsOne) {
  std::string text;
  const auto problems = model_problems(*find_model("llama-3.1-8b"));
  for (const auto& [problem, weight, typed, role] : problems)
    text += fmt::format("{} {:.4g} # {}\n", label(problem), weight, role);
  const auto list = parse_problem_list(text, "list");
  ASSERT_TRUE(list) << error_of(list);
  EXPECT_EQ(list->size(), problems.size());
}

TEST(ProblemList, FaultsNameTheLine) {
  const std::pair<const char*, const char*> kBad[] = {
      {"rows1_seqk1\nrows1\n", "list line 2: label \"rows1\""},
      {"rows1_seqk1 0", "list line 1: weight \"0\""},
      {"rows1_seqk1 -1", "weight \"-1\""},
      {"rows1_seqk1 nan", "weight \"nan\""},
      {"rows1_seqk1 inf", "weight \"inf\""},
      {"rows1_seqk1 1e999", "weight \"1e999\""},
      {"\n\nrows1_seqk1 1 2", "list line 3: type \"2\": use f32, f16 or bf16"},
      {"rows1_seqk1 1 bf16 2", "list line 1: \"2\" after label, weight and type"},
      {"rows1_seqk99999999999999999999", "list line 1"},
      {"281474976710656x281474976710656x1", "list line 1"},
      {"\x1b[31m", "list line 1"},
      {"", "list: no problem in it"},
      {"# only a comment\n\n", "list: no problem in it"},
  };
  for (const auto& [text, fragment] : kBad) {
    const auto list = parse_problem_list(text, "list");
    EXPECT_NE(error_of(list).find(fragment), std::string::npos) << text << ": " << error_of(list);
    EXPECT_EQ(error_of(list).find('\x1b'), std::string::npos);
  }
  std::string many;
  for (int i = 0; i < 11; ++i) many += "rows1..1000:1_seqk1\n";
  EXPECT_NE(error_of(parse_problem_list(many, "list")).find("list line 11: over 10000 problems"), std::string::npos);
}

}  // namespace
}  // namespace metallic
