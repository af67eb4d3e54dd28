// SPDX-License-Identifier: Apache-2.0
// Models: parsing of configurations, and the problems made from them.
#include "tuner/workloads/model.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "base/file.h"
#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/sdpa/shape.h"
#include "tuner/workloads/weighted_problems.h"

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
  EXPECT_EQ(grouped->attention.front().kv_heads, 8);
  EXPECT_EQ(grouped->attention.front().head_dim, 128);
  for (const char* none : {"", "null"})
    EXPECT_EQ(parse_model(config("num_key_value_heads", none), "m", "c")->attention.front().kv_heads, 32) << none;
  EXPECT_EQ(parse_model(config("head_dim", "64"), "m", "c")->attention.front().head_dim, 64);
  EXPECT_EQ(parse_model(config("head_dim", "null"), "m", "c")->attention.front().head_dim, 128);
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

TEST(Models, HeadsMustDivide) {
  EXPECT_NE(error_of(parse_model(config("num_key_value_heads", "5"), "m", "c")).find("c: num_key_value_heads is 5"),
            std::string::npos);
  const auto uneven = parse_model(config("hidden_size", "4100"), "m", "c");
  EXPECT_NE(error_of(uneven).find("c: head_dim is missing"), std::string::npos) << error_of(uneven);
  std::string given = config("hidden_size", "4100");
  given.replace(given.size() - 1, 1, ", \"head_dim\": 96}");
  EXPECT_EQ(parse_model(given, "m", "c")->attention.front().head_dim, 96);
  EXPECT_NE(error_of(parse_model(config("head_dim", "65536"), "m", "c")).find("c: head_dim is 65536"), std::string::npos);
}

TEST(Models, KnowsNestedConfigurationsAndGpt2sNames) {
  const auto nested = parse_model("{\"vision_config\": {\"hidden_size\": 1}, \"text_config\": " + config() + "}", "m", "c");
  ASSERT_TRUE(nested) << error_of(nested);
  EXPECT_EQ(nested->hidden, 4096);
  EXPECT_TRUE(nested->feed_forward.front().gated);
  const auto fault = parse_model("{\"text_config\": " + config("vocab_size", "") + "}", "m", "c");
  EXPECT_NE(error_of(fault).find("c: text_config.vocab_size is missing"), std::string::npos) << error_of(fault);
  EXPECT_FALSE(parse_model("{\"text_config\": 1}", "m", "c"));

  for (const std::string_view inner : {"", ", \"n_inner\": null", ", \"n_inner\": 3072"}) {
    const auto gpt2 = parse_model(fmt::format("{{\"n_embd\": 768, \"n_head\": 12, \"n_layer\": 12, \"n_positions\": 1024, "
                                              "\"vocab_size\": 50257{}}}",
                                              inner),
                                  "m", "c");
    ASSERT_TRUE(gpt2) << error_of(gpt2);
    EXPECT_EQ(gpt2->feed_forward.front().intermediate, 3072);
    EXPECT_EQ(gpt2->attention.front().head_dim, 64);
    EXPECT_EQ(gpt2->layers, 12);
    EXPECT_EQ(gpt2->context, 1024);
    std::map<std::string, std::string> roles;
    for (const auto& each : model_problems(*gpt2)) roles[label(each.problem)] = each.role;
    EXPECT_EQ(roles["1x768x3072_tb"], "up") << "without a gate";
  }
  EXPECT_FALSE(parse_model(config("model_type", "\"phi\""), "m", "c")->feed_forward.front().gated);
  EXPECT_TRUE(parse_model(config("model_type", "\"qwen2\""), "m", "c")->feed_forward.front().gated);
}

TEST(Models, MalformedFilesAreRejected) {
  const auto refuses = [](const std::string& text, std::string_view fragment) {
    const auto model = parse_model(text, "m", "c");
    EXPECT_NE(error_of(model).find(fragment), std::string::npos) << error_of(model);
  };
  refuses(std::string(2 << 20, ' '), "at most 1048576");
  refuses(std::string(100'000, '['), "nested deeper");
  refuses("{\"text_config\": " + std::string(100, '{'), "not valid JSON");
  refuses(
      "\x7f"
      "ELF",
      "not valid JSON");
  refuses(config("hidden_size", "1e999"), "number is out of range");
  refuses(config("hidden_size", "1048577"), "hidden_size is");
}

TEST(Models, AreFoundByPath) {
  const auto root = std::filesystem::path(testing::TempDir()) / fmt::format("models_{}", getpid());
  const auto put = [&](const std::string& place, const std::string& text) {
    EXPECT_TRUE(write_file(root / place, text));
    return (root / place).native();
  };
  const std::pair<std::string, std::string> kNames[] = {
      {"Qwen2.5-7B/config.json", "qwen2.5-7b"},
      {"My Model (new)/config.json", "my-model--new-"},
      {"small.v2.json", "small.v2"},
      {".hidden.json", "hidden"},
      {"hub/models--meta-llama--Llama-3.1-8B/snapshots/0123abcd/config.json", "llama-3.1-8b"},
      {std::string(100, 'x') + "/config.json", std::string(64, 'x')},
      {"deep/../other/config.json", "other"},
      {"plain", "plain"},
  };
  std::filesystem::create_directories(root / "deep");
  for (const auto& [place, name] : kNames) {
    const auto model = find_model(put(place, config()));
    ASSERT_TRUE(model) << place << ": " << error_of(model);
    EXPECT_EQ(model->name, name);
    EXPECT_EQ(model->hidden, 4096);
    EXPECT_EQ(model_name((root / place).native()), name);
  }
  for (const std::string folder : {"Qwen2.5-7B", "Qwen2.5-7B/"}) {
    EXPECT_EQ(find_model((root / folder).native())->name, "qwen2.5-7b") << "a folder with a config.json";
    EXPECT_EQ(model_name((root / folder).native()), "qwen2.5-7b");
  }
  for (const std::string name : {"llama-3.1-8b", "", "../x", "gone.json"})
    EXPECT_EQ(model_name(name), name) << "no path of a file";

  const auto bad = find_model(put("bad.json", config("vocab_size", "-1")));
  EXPECT_NE(error_of(bad).find("bad.json: vocab_size is"), std::string::npos) << error_of(bad);
  EXPECT_FALSE(find_model(put("large.json", std::string(2 << 20, ' '))));
  EXPECT_EQ(find_model((root / "missing/config.json").native()).error().code, Code::not_found);
  EXPECT_NE(error_of(find_model(root.native())).find("not a regular file"), std::string::npos);
  ASSERT_EQ(mkfifo((root / "pipe.json").c_str(), 0600), 0);
  EXPECT_FALSE(find_model((root / "pipe.json").native())) << "a pipe without a writer must not hang";
  std::filesystem::remove_all(root);
}

TEST(Models, BuiltInOnesAreThePublicOnes) {
  struct Public {
    int64_t hidden, intermediate, heads, kv_heads, head_dim, layers, vocabulary, context;
  };
  const std::map<std::string, Public> kPublic = {
      {"llama-2-7b", {4096, 11008, 32, 32, 128, 32, 32000, 4096}},
      {"llama-2-13b", {5120, 13824, 40, 40, 128, 40, 32000, 4096}},
      {"llama-3.1-8b", {4096, 14336, 32, 8, 128, 32, 128256, 131072}},
      {"llama-3.1-70b", {8192, 28672, 64, 8, 128, 80, 128256, 131072}},
      {"mistral-7b", {4096, 14336, 32, 8, 128, 32, 32768, 32768}},  // v0.3
      {"qwen2.5-0.5b", {896, 4864, 14, 2, 64, 24, 151936, 32768}},
      {"qwen2.5-7b", {3584, 18944, 28, 4, 128, 28, 152064, 131072}},
      {"qwen2.5-72b", {8192, 29568, 64, 8, 128, 80, 152064, 131072}},
  };
  for (const auto& [name, p] : kPublic) {
    const auto model = find_model(name);
    ASSERT_TRUE(model) << error_of(model);
    const Attention& attention = model->attention.front();
    const FeedForward& part = model->feed_forward.front();
    const Public built_in = {model->hidden,      part.intermediate, attention.heads,   attention.kv_heads,
                             attention.head_dim, model->layers,     model->vocabulary, model->context};
    EXPECT_EQ(memcmp(&built_in, &p, sizeof p), 0) << name;
    EXPECT_TRUE(part.gated);
  }
  EXPECT_TRUE(kPublic.contains(std::string(kDefaultModel)));
}

TEST(Models, ProblemsOfLlamaAreItsProjections) {
  std::map<std::string, std::string> roles;
  for (const auto& each : model_problems(*find_model("llama-3.1-8b"))) roles[label(each.problem)] = each.role;
  EXPECT_EQ(roles["1x4096x6144_tb"], "qkv");  // 32 heads and twice 8 key heads of 128
  EXPECT_EQ(roles["1x4096x4096_tb"], "o");
  EXPECT_EQ(roles["16x4096x14336_tb"], "gate_up (1/2 proxy)");  // 448 MiB as a whole
  EXPECT_EQ(roles["32x14336x4096_tb"], "down");
  EXPECT_EQ(roles["1x4096x16032_tb"], "lm_head (1/8 proxy)");
  EXPECT_EQ(roles["4096x4096x8"], "o, weights first");
  EXPECT_EQ(roles["256x128x17"], "small GEMM");
  EXPECT_EQ(roles["rows1_seqk131072"], "one row");
  EXPECT_EQ(roles["rows32_seqk64"], "decode, all heads");
  EXPECT_EQ(roles["batch32_seqq64_seqk1024_causal"], "prefill, causal");
  EXPECT_EQ(roles["batch1_h32kv8_seqq1_seqk8192_d128"], "decode, batch 1");
  EXPECT_EQ(roles["batch4_h32kv8_seqq1_seqk512_d128"], "decode, batch 4");
  EXPECT_EQ(roles["batch1_h32kv8_seqq512_seqk512_d128_causal"], "prefill, causal");
}

TEST(Models, ProblemsAreDistinctAffordableAndWeighedByRuns) {
  for (const std::string& name : model_names()) {
    const ModelConfig model = *find_model(name);
    const auto problems = model_problems(model);
    EXPECT_GE(problems.size(), 70u) << name;
    EXPECT_LE(problems.size(), 110u) << name;
    std::map<std::string, double> weight_of;
    std::set<std::string> labels;
    for (const auto& [problem, weight, typed, role] : problems) {
      EXPECT_TRUE(validate(problem)) << label(problem);
      EXPECT_GT(weight, 0) << label(problem);
      EXPECT_TRUE(labels.insert(label(problem)).second) << label(problem) << " twice";
      EXPECT_TRUE(parse_label(label(problem)) == problem) << label(problem);
      for (const int64_t bytes : operand_bytes(problem)) EXPECT_LE(bytes, int64_t{256} << 20) << label(problem);
      if (problem.op() == kMatmul) {
        EXPECT_LE(work(problem).operations, 4.3e9) << label(problem);
        const bool whole_model = problem.as<MatmulShape>().tb;
        weight_of[whole_model ? "projections" : role == "small GEMM" ? "small" : "weights first"] += weight;
      } else {
        weight_of[std::string(metallic::name(problem.op()))] += weight;
      }
      if (problem.op() == kSdpa) {
        EXPECT_LE(problem.as<SdpaShape>().seq_k, model.context);
      }
    }
    EXPECT_NEAR(weight_of["projections"], 4 + 0.75 / static_cast<double>(model.layers), 1e-12) << name;
    EXPECT_NEAR(weight_of["weights first"], 1, 1e-12) << name;
    EXPECT_NEAR(weight_of["small"], 0.1, 1e-12) << name;
    EXPECT_NEAR(weight_of["softmax"], 1, 1e-12) << name;
    EXPECT_NEAR(weight_of["sdpa"], 1, 1e-12) << name;
  }
}

TEST(Models, OneProblemInTwoRolesIsTimedOnce) {
  const ModelConfig model{.hidden = 64,
                          .layers = 2,
                          .vocabulary = 100,
                          .context = 512,
                          .attention = {{.layers = 2, .heads = 1, .kv_heads = 1, .head_dim = 64, .value_dim = 64}},
                          .feed_forward = {{.layers = 2, .intermediate = 64}}};
  std::map<std::string, WeightedProblem> problems;
  for (const auto& each : model_problems(model)) EXPECT_TRUE(problems.emplace(label(each.problem), each).second);
  const auto& shared = problems["1x64x64_tb"];  // one row for each of the five batches
  EXPECT_EQ(shared.role, "o; down");
  EXPECT_NEAR(shared.weight, 2 * 0.75 / 5, 1e-12);
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

TEST(ProblemList, MayBeginWithAByteOrderMark) {
  const auto list = parse_problem_list("\xEF\xBB\xBFrows1_seqk64\r\n", "list");
  ASSERT_TRUE(list) << error_of(list);
  EXPECT_EQ(list->size(), 1u);
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
      {"", "list: it has no problems"},
      {"# only a comment\n\n", "list: it has no problems"},
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
