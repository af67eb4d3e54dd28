// SPDX-License-Identifier: Apache-2.0
// Configurations of public models: their weights add up to the published number, and their problems have the right shapes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/sdpa/shape.h"
#include "tuner/workloads/layer.h"
#include "tuner/workloads/projections.h"
#include "tuner/workloads/weighted_problems.h"

namespace metallic {
namespace {

std::string error_of(const auto& result) { return result ? "accepted" : result.error().message; }

ModelConfig parsed(const std::string& members) {
  const auto model = parse_model("{" + members + "}", "m", "c");
  EXPECT_TRUE(model) << members << ": " << error_of(model);
  return model.value_or(ModelConfig{});
}

std::string refusal(const std::string& members) { return error_of(parse_model("{" + members + "}", "m", "c")); }

constexpr const char* kMixtral =
    R"("model_type":"mixtral","hidden_size":4096,"intermediate_size":14336,"num_attention_heads":32,"num_key_value_heads":8,
       "num_hidden_layers":32,"vocab_size":32000,"max_position_embeddings":32768,"num_local_experts":8,"num_experts_per_tok":2,
       "sliding_window":null,"hidden_act":"silu","torch_dtype":"bfloat16")";
constexpr const char* kDeepSeek =
    R"("model_type":"deepseek_v3","hidden_size":7168,"intermediate_size":18432,"moe_intermediate_size":2048,
       "first_k_dense_replace":3,"moe_layer_freq":1,"n_routed_experts":256,"num_experts_per_tok":8,"n_shared_experts":1,
       "num_attention_heads":128,"num_key_value_heads":128,"num_hidden_layers":61,"vocab_size":129280,
       "max_position_embeddings":163840,"kv_lora_rank":512,"q_lora_rank":1536,"qk_nope_head_dim":128,"qk_rope_head_dim":64,
       "v_head_dim":128)";
constexpr const char* kGemma2 =
    R"("model_type":"gemma2","hidden_size":3584,"intermediate_size":14336,"num_attention_heads":16,"num_key_value_heads":8,
       "head_dim":256,"num_hidden_layers":42,"vocab_size":256000,"max_position_embeddings":8192,"sliding_window":4096,
       "hidden_activation":"gelu_pytorch_tanh")";
constexpr const char* kBert =
    R"("model_type":"bert","architectures":["BertModel"],"hidden_size":768,"intermediate_size":3072,"num_attention_heads":12,
       "num_hidden_layers":12,"vocab_size":30522,"max_position_embeddings":512,"hidden_act":"gelu")";
constexpr const char* kFalcon =
    R"("model_type":"falcon","hidden_size":4544,"num_attention_heads":71,"num_kv_heads":71,"num_hidden_layers":32,
       "multi_query":true,"new_decoder_architecture":false,"vocab_size":65024)";

struct Published {
  const char* model;
  double parameters;  // in billions
  bool tied;          // whether the embeddings are the output projection
  bool positions;     // whether positions are embeddings too
  std::string config;
};

const std::vector<Published>& published() {
  static const std::vector<Published> kModels = {
      {"Mixtral-8x7B", 46.7, false, false, kMixtral},
      {"DeepSeek-V3", 671, false, false, kDeepSeek},
      {"Gemma-2-9B", 9.24, true, false, kGemma2},
      {"BERT-base", 0.110, true, true, kBert},
      {"Falcon-7B", 7.22, false, false, kFalcon},
      {"Falcon-40B", 41.3, true, false,
       R"("model_type":"falcon","hidden_size":8192,"num_attention_heads":128,"num_kv_heads":8,"num_hidden_layers":60,
          "multi_query":true,"new_decoder_architecture":true,"vocab_size":65024)"},
      {"Llama-3.1-8B", 8.03, false, false,
       R"("model_type":"llama","hidden_size":4096,"intermediate_size":14336,"num_attention_heads":32,"num_key_value_heads":8,
          "num_hidden_layers":32,"vocab_size":128256,"max_position_embeddings":131072,"hidden_act":"silu")"},
      {"StarCoder", 15.5, true, true,
       R"("model_type":"gpt_bigcode","n_embd":6144,"n_head":48,"n_layer":40,"n_inner":24576,"n_positions":8192,
          "vocab_size":49152,"multi_query":true,"activation_function":"gelu")"},
      {"Qwen3-30B-A3B", 30.5, false, false,
       R"("model_type":"qwen3_moe","hidden_size":2048,"intermediate_size":6144,"moe_intermediate_size":768,"num_experts":128,
          "num_experts_per_tok":8,"decoder_sparse_step":1,"mlp_only_layers":[],"num_attention_heads":32,"head_dim":128,
          "num_key_value_heads":4,"num_hidden_layers":48,"vocab_size":151936,"max_position_embeddings":40960,
          "use_sliding_window":false,"sliding_window":null,"max_window_layers":48,"hidden_act":"silu")"},
      {"GPT-2", 0.124, true, true,
       R"("model_type":"gpt2","n_embd":768,"n_head":12,"n_layer":12,"n_positions":1024,"vocab_size":50257,
          "activation_function":"gelu_new")"},
      {"OPT-6.7B", 6.66, true, true,
       R"("model_type":"opt","hidden_size":4096,"ffn_dim":16384,"num_attention_heads":32,"num_hidden_layers":32,
          "vocab_size":50272,"max_position_embeddings":2048,"activation_function":"relu")"},
      {"Phi-3-mini", 3.82, false, false,
       R"("model_type":"phi3","hidden_size":3072,"intermediate_size":8192,"num_attention_heads":32,"num_key_value_heads":32,
          "num_hidden_layers":32,"vocab_size":32064,"max_position_embeddings":4096,"sliding_window":2047,"hidden_act":"silu")"},
      {"GPT-J-6B", 6.05, false, false,
       R"("model_type":"gptj","n_embd":4096,"n_head":16,"n_layer":28,"n_inner":null,"n_positions":2048,"vocab_size":50400,
          "activation_function":"gelu_new")"},
      {"BLOOM-7B1", 7.07, true, false, R"("model_type":"bloom","hidden_size":4096,"n_head":32,"n_layer":30,"vocab_size":250880)"},
      {"MPT-7B", 6.65, true, false,
       R"("model_type":"mpt","d_model":4096,"n_heads":32,"n_layers":32,"expansion_ratio":4,"max_seq_len":2048,
          "vocab_size":50432,"attn_config":{"attn_type":"multihead_attention"})"},
      {"DBRX", 132, false, false,
       R"("model_type":"dbrx","d_model":6144,"n_heads":48,"n_layers":40,"max_seq_len":32768,"vocab_size":100352,
          "attn_config":{"kv_n_heads":8},"ffn_config":{"ffn_hidden_size":10752,"moe_num_experts":16,"moe_top_k":4})"},
      {"ChatGLM3-6B", 6.24, false, false,
       R"("model_type":"chatglm","hidden_size":4096,"ffn_hidden_size":13696,"num_attention_heads":32,"kv_channels":128,
          "multi_query_attention":true,"multi_query_group_num":2,"num_layers":28,"padded_vocab_size":65024,"seq_length":8192)"},
      {"DeepSeek-V2-Lite", 15.7, false, false,
       R"("model_type":"deepseek_v2","hidden_size":2048,"intermediate_size":10944,"moe_intermediate_size":1408,
          "first_k_dense_replace":1,"n_routed_experts":64,"num_experts_per_tok":6,"n_shared_experts":2,"num_attention_heads":16,
          "num_key_value_heads":16,"num_hidden_layers":27,"vocab_size":102400,"max_position_embeddings":163840,
          "kv_lora_rank":512,"q_lora_rank":null,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128)"},
      {"gpt-oss-20b", 20.9, false, false,
       R"("model_type":"gpt_oss","hidden_size":2880,"intermediate_size":2880,"num_local_experts":32,"num_experts_per_tok":4,
          "num_attention_heads":64,"num_key_value_heads":8,"head_dim":64,"num_hidden_layers":24,"vocab_size":201088,
          "max_position_embeddings":131072,"sliding_window":128,"hidden_act":"silu",
          "layer_types":["sliding_attention","full_attention"])"},
      {"Llama-4-Scout", 107.8, false, false,  // the language model of 109 billion
       R"("model_type":"llama4","text_config":{"model_type":"llama4_text","hidden_size":5120,"intermediate_size":8192,
          "intermediate_size_mlp":16384,"interleave_moe_layer_step":1,"num_local_experts":16,"num_experts_per_tok":1,
          "num_attention_heads":40,"num_key_value_heads":8,"head_dim":128,"num_hidden_layers":48,"vocab_size":202048,
          "max_position_embeddings":10485760,"attention_chunk_size":8192,"hidden_act":"silu"})"},
  };
  return kModels;
}

TEST(PublishedModels, WeightsAddUpToThePublishedCount) {
  for (const Published& each : published()) {
    const ModelConfig model = parsed(each.config);
    const auto hidden = static_cast<double>(model.hidden);
    double count = hidden * static_cast<double>(model.vocabulary) * (each.tied ? 1 : 2);
    if (each.positions) count += hidden * static_cast<double>(model.context);
    for (const Projection& p : projections(model))
      count += static_cast<double>(p.in) * static_cast<double>(p.out) * static_cast<double>(p.experts * p.layers);
    EXPECT_NEAR(count / 1e9, each.parameters, 0.02 * each.parameters) << each.model;
  }
}

TEST(PublishedModels, ProblemsAreValidAndWeighedByRuns) {
  for (const Published& each : published()) {
    const ModelConfig model = parsed(each.config);
    double wanted = model.causal ? 0.75 : 0;  // lm_head
    for (const Projection& p : projections(model)) wanted += static_cast<double>(p.layers);
    double projected = 0, softmax = 0, sdpa = 0;
    for (const WeightedProblem& weighted : model_problems(model)) {
      const Problem& problem = weighted.problem;
      EXPECT_TRUE(validate(problem)) << each.model << ' ' << label(problem);
      EXPECT_TRUE(parse_label(label(problem)) == problem) << each.model << ' ' << label(problem);
      for (const int64_t bytes : operand_bytes(problem))
        EXPECT_LE(bytes, int64_t{256} << 20) << each.model << ' ' << label(problem);
      if (problem.op() == kMatmul)
        projected += problem.as<MatmulShape>().tb ? weighted.weight : 0;
      else
        (problem.op() == kSdpa ? sdpa : softmax) += weighted.weight;
    }
    EXPECT_NEAR(projected, wanted / static_cast<double>(model.layers), 1e-9) << each.model;
    EXPECT_NEAR(softmax, 1, 1e-9) << each.model;
    EXPECT_NEAR(sdpa, model.left_out.empty() ? 1 : 0, 1e-9) << each.model;
    for (const LayerStep& step : layer_steps(model, DType::bf16, 1, 64, 64)) EXPECT_TRUE(validate(step.problem)) << each.model;
  }
}

std::map<std::string, WeightedProblem> by_label(const ModelConfig& model) {
  std::map<std::string, WeightedProblem> found;
  for (WeightedProblem& each : model_problems(model)) found.emplace(label(each.problem), std::move(each));
  return found;
}

TEST(PublishedModels, LatentAttentionHasItsOwnProjections) {
  const ModelConfig model = parsed(kDeepSeek);
  const auto problems = by_label(model);
  for (const auto& [text, role] :
       std::map<std::string, std::string>{{"1x7168x1536_tb", "q_a"},
                                          {"1x1536x24576_tb", "q_b"},
                                          {"1x7168x576_tb", "kv_a"},
                                          {"1x512x32768_tb", "kv_b"},
                                          {"1x16384x3584_tb", "o (1/2 proxy)"},
                                          {"1x7168x256_tb", "router"},
                                          {"batch2_1x7168x4096_tb", "experts gate_up (proxy of fewer experts)"},
                                          {"1x2048x7168_tb", "shared down"}}) {
    ASSERT_TRUE(problems.contains(text)) << text;
    EXPECT_EQ(problems.at(text).role, role);
  }
  for (const auto& [text, each] : problems) EXPECT_FALSE(each.problem.op() == kSdpa) << text;
  ASSERT_EQ(model.left_out.size(), 1u);
  EXPECT_EQ(model.left_out.front(), "v_head_dim: heads of V have 128 elements and those of Q and K 192: attention is left out");
  std::string even = kDeepSeek;
  even.replace(even.find("\"v_head_dim\":128"), 16, "\"v_head_dim\":192");
  EXPECT_TRUE(by_label(parsed(even)).contains("batch1_h128kv128_seqq1_seqk512_d192"));
  EXPECT_NE(refusal(even.replace(even.find("\"qk_rope_head_dim\":64"), 21, "\"x\":0")).find("c: qk_rope_head_dim is missing"),
            std::string::npos);
}

TEST(PublishedModels, ExpertsRunAsABatchWithTheTokensThatTheyGetOnAverage) {
  const Projection down{.role = "experts down", .out = 4096, .in = 14336, .layers = 32, .experts = 8, .active = 2};
  for (const auto& [tokens, experts, each] :
       std::vector<std::array<int64_t, 3>>{{1, 2, 1}, {2, 4, 1}, {4, 5, 1}, {8, 7, 2}, {16, 8, 4}, {512, 8, 128}}) {
    const ExpertLoad load = expert_load(down, tokens);
    EXPECT_EQ(load.experts, experts) << tokens;
    EXPECT_EQ(load.tokens, each) << tokens;
  }
  const auto steps = layer_steps(parsed(kMixtral), DType::bf16, 1, 1, 512);
  ASSERT_EQ(steps.size(), 7u);
  EXPECT_EQ(label(steps[4].problem), "batch2_1x4096x28672_tb");
  EXPECT_EQ(steps[4].role, "experts gate_up");
}

TEST(PublishedModels, EncodersReadWholeSequencesWithoutMaskAndGate) {
  const ModelConfig model = parsed(kBert);
  EXPECT_FALSE(model.causal);
  const auto problems = by_label(model);
  EXPECT_TRUE(problems.contains("512x768x3072_tb")) << "up, without a gate";
  EXPECT_TRUE(problems.contains("batch1_h12kv12_seqq512_seqk512_d64"));
  for (const auto& [text, each] : problems) {
    EXPECT_EQ(text.find("causal"), std::string::npos) << text;
    EXPECT_EQ(each.role.find("lm_head"), std::string::npos) << text;
    EXPECT_EQ(each.role.find("decode"), std::string::npos) << text;
  }
  EXPECT_TRUE(parsed(std::string(kBert) + ",\"is_decoder\":true").causal);
}

TEST(PublishedModels, OldNamesTellTheNumberOfKeyHeads) {
  const auto kv_heads = [](const std::string& members) { return parsed(members).attention.front().kv_heads; };
  EXPECT_EQ(kv_heads(kFalcon), 1) << "though it names 71";
  EXPECT_EQ(
      kv_heads(R"("model_type":"falcon","hidden_size":4544,"num_attention_heads":71,"num_hidden_layers":32,"vocab_size":1)"), 1);
  const std::string code = R"("model_type":"gpt_bigcode","n_embd":64,"n_head":4,"n_layer":1,"n_positions":8,"vocab_size":9)";
  EXPECT_EQ(kv_heads(code), 1);
  EXPECT_EQ(kv_heads(code + ",\"multi_query\":false"), 4);
  EXPECT_EQ(
      kv_heads(R"("model_type":"RefinedWeb","hidden_size":8192,"n_head":128,"n_head_kv":8,"n_layer":60,"vocab_size":65024)"), 8);
}

// The keys and values that a decoding query sees in each kind of layer, with their weights.
std::map<int64_t, double> decode_lengths(const ModelConfig& model) {
  std::map<int64_t, double> found;
  for (const WeightedProblem& each : model_problems(model))
    if (each.problem.op() == kSdpa && each.problem.as<SdpaShape>().seq_q == 1)
      found[each.problem.as<SdpaShape>().seq_k] += each.weight / 0.75;
  return found;
}

TEST(Windows, CapTheKeysOfTheLayersThatHaveThem) {
  const std::string base = R"("hidden_size":512,"intermediate_size":1024,"num_attention_heads":8,"num_hidden_layers":12,
                              "vocab_size":100,"max_position_embeddings":8192)";
  const auto share_of_1024 = [&](const std::string& more) {
    auto lengths = decode_lengths(parsed(base + more));
    double sum = 0;
    for (const auto& [keys, weight] : lengths) sum += weight;
    EXPECT_NEAR(sum, 1, 1e-9) << more;
    return lengths[1024];
  };
  constexpr double kPart = 2.0 / 3;  // of the lengths 512, 2048 and 8192, two are cut to 1024
  EXPECT_NEAR(share_of_1024(""), 0, 1e-9);
  EXPECT_NEAR(share_of_1024(R"(,"sliding_window":1024)"), kPart, 1e-9);
  EXPECT_NEAR(share_of_1024(R"(,"sliding_window":1024,"sliding_window_pattern":6)"), kPart * 10 / 12, 1e-9);
  EXPECT_NEAR(share_of_1024(R"(,"sliding_window":1024,"sliding_window_pattern":"LLLG")"), kPart * 9 / 12, 1e-9);
  EXPECT_NEAR(share_of_1024(R"(,"sliding_window":1024,"model_type":"gemma2","head_dim":64)"), kPart / 2, 1e-9);
  EXPECT_NEAR(share_of_1024(R"(,"sliding_window":1024,"layer_types":["full_attention","sliding_attention","full_attention"])"),
              kPart / 3, 1e-9);
  EXPECT_NEAR(share_of_1024(R"(,"sliding_window":1024,"use_sliding_window":false)"), 0, 1e-9);
  EXPECT_NEAR(share_of_1024(R"(,"sliding_window":1024,"model_type":"qwen2")"), 0, 1e-9) << "off unless asked for";
  EXPECT_NEAR(share_of_1024(R"(,"sliding_window":1024,"use_sliding_window":true,"max_window_layers":9)"), kPart / 4, 1e-9);
  EXPECT_NEAR(share_of_1024(R"(,"sliding_window":8192)"), 0, 1e-9) << "as long as the context";
  EXPECT_NEAR(share_of_1024(R"(,"sliding_window":-1)"), 0, 1e-9);
  EXPECT_NE(refusal(base + R"(,"layer_types":["sliding_attention"])").find("c: sliding_window is missing"), std::string::npos);
  EXPECT_NE(refusal(base + R"(,"layer_types":[["full_attention"]])").find("c: layer_types is"), std::string::npos);

  const auto problems = by_label(parsed(base + R"(,"sliding_window":128)"));
  EXPECT_TRUE(problems.contains("batch4_h8kv8_seqq128_seqk128_d64_causal")) << "512 tokens in pieces of a window";
}

TEST(Windows, LayersMayHaveHeadsOfTheirOwn) {
  const std::string base = R"("hidden_size":512,"intermediate_size":1024,"num_attention_heads":8,"num_key_value_heads":4,
                              "head_dim":64,"num_hidden_layers":6,"vocab_size":100,"max_position_embeddings":8192,
                              "sliding_window":512,"sliding_window_pattern":6)";
  const ModelConfig global = parsed(base + R"(,"global_head_dim":128,"num_global_key_value_heads":2)");
  ASSERT_EQ(global.attention.size(), 2u);
  EXPECT_EQ(global.attention[0].head_dim, 128);
  EXPECT_EQ(global.attention[0].kv_heads, 2);
  EXPECT_EQ(global.attention[1].head_dim, 64);
  EXPECT_EQ(global.attention[1].kv_heads, 4);
  const ModelConfig windowed = parsed(base + R"(,"swa_num_key_value_heads":8)");
  EXPECT_EQ(windowed.attention[0].kv_heads, 4);
  EXPECT_EQ(windowed.attention[1].kv_heads, 8);
}

TEST(Hybrids, CountTheLayersThatHaveAttentionAndNameTheKey) {
  const std::string base = R"("hidden_size":512,"intermediate_size":1024,"num_attention_heads":8,"num_hidden_layers":8,
                              "vocab_size":100,"max_position_embeddings":8192)";
  for (const char* more : {R"(,"layer_types":["linear_attention","linear_attention","linear_attention","full_attention"])",
                           R"(,"full_attention_interval":4)", R"(,"attn_layer_period":4,"attn_layer_offset":1)",
                           R"(,"attn_layer_indices":[1,5])", R"(,"hybrid_override_pattern":"M-M*M-M*")",
                           R"(,"layers_block_type":["mamba","mamba","mamba","attention"])", R"(,"attn_type_list":[0,0,0,1])"}) {
    const ModelConfig model = parsed(base + more);
    ASSERT_EQ(model.attention.size(), 1u) << more;
    EXPECT_EQ(model.attention.front().layers, 2) << more;
    ASSERT_EQ(model.left_out.size(), 1u) << more;
    const std::string key(more + 2, std::string_view(more).find('"', 2) - 2);
    EXPECT_EQ(model.left_out.front().find(key + ": 6 of 8 layers have no attention"), 0u) << model.left_out.front();
  }
  EXPECT_EQ(parsed(base + R"(,"hybrid_override_pattern":"M-M*M-M*")").feed_forward.front().layers, 2);
  EXPECT_NE(refusal(base + R"(,"layer_types":["mamba"])").find("c: layer_types is"), std::string::npos);
}

TEST(Configurations, AreReadAsPythonWritesThem) {
  const ModelConfig model = parsed(
      R"("architectures":["NemotronHForCausalLM"],"model_type":"nemotron_h","hidden_size":4480,"num_attention_heads":40,
         "num_key_value_heads":8,"head_dim":128,"num_hidden_layers":62,"intermediate_size":15680,"vocab_size":131072,
         "max_position_embeddings":131072,"time_step_limit":[0.0, Infinity],"x":NaN,"rope_scaling":null)");
  EXPECT_EQ(model.hidden, 4480);
  EXPECT_FALSE(model.feed_forward.front().gated);
  EXPECT_NE(refusal(std::string(kMixtral) + ",\"hidden_size\":NaN").find("c: hidden_size is \"null\""), std::string::npos);
}

TEST(Configurations, NestTheLanguageModel) {
  const std::string gemma = R"({"hidden_size":2048,"intermediate_size":16384,"model_type":"gemma","num_attention_heads":8,
                                "num_key_value_heads":1,"num_hidden_layers":18,"vocab_size":257216})";
  for (const std::string& config : {R"("model_type":"paligemma","hidden_size":2048,"projection_dim":2048,"text_config":)" +
                                        gemma + R"(,"vision_config":{"hidden_size":1152,"num_attention_heads":16})",
                                    R"("thinker_config":{"audio_config":{},"text_config":)" + gemma + "}",
                                    R"("llm_config":)" + gemma, R"("text_config":{},"language_config":)" + gemma}) {
    const ModelConfig model = parsed(config);
    EXPECT_EQ(model.hidden, 2048);
    EXPECT_EQ(model.layers, 18);
    EXPECT_EQ(model.context, 8192) << "which the file leaves out";
    EXPECT_EQ(model.attention.front().head_dim, 256);
    EXPECT_TRUE(model.feed_forward.front().gated);
  }
  EXPECT_NE(refusal(R"("hidden_size":8,"text_config":{"hidden_size":8})").find("c: text_config.num_hidden_layers is missing"),
            std::string::npos);
}

TEST(Configurations, NameTheTypeOfTheWeights) {
  const auto dtype = [](const std::string& more) { return parsed(kBert + more).dtype; };
  EXPECT_EQ(dtype(""), std::nullopt);
  EXPECT_EQ(dtype(R"(,"torch_dtype":"bfloat16")"), DType::bf16);
  EXPECT_EQ(dtype(R"(,"dtype":"torch.float16")"), DType::f16);
  EXPECT_EQ(dtype(R"(,"torch_dtype":"auto")"), std::nullopt);
  EXPECT_EQ(parsed(std::string(R"("torch_dtype":"bfloat16","text_config":{)") + kGemma2 + "}").dtype, DType::bf16);
}

TEST(Configurations, AreRefusedByTheKeyThatIsBeyondThem) {
  const std::pair<std::string, const char*> kBeyond[] = {
      {R"("model_type":"mamba2","hidden_size":2560)", "c: model_type is \"mamba2\": models without attention"},
      {R"("model_type":"longformer")", "c: model_type is"},
      {std::string(kBert) + R"(,"block_configs":[{}])", "c: block_configs is"},
      {std::string(kMixtral) + R"(,"num_experts_per_tok":9)", "c: num_experts_per_tok is"},
      {std::string(kBert) + R"(,"num_attention_heads":[12,16])", "c: num_attention_heads is"},
      {std::string(kBert) + R"(,"intermediate_size":[3072,3072])", "c: intermediate_size is"},
      {std::string(kBert) + R"(,"block_auto_adjust_ff_dim":true)", "c: block_auto_adjust_ff_dim is"},
      {R"("model_type":"mpt","d_model":64,"n_heads":4,"n_layers":1,"max_seq_len":9,"vocab_size":9,"attn_config":{"kv_n_heads":5})",
       "c: attn_config.kv_n_heads is"},
  };
  for (const auto& [config, fragment] : kBeyond)
    EXPECT_NE(refusal(config).find(fragment), std::string::npos) << config << ": " << refusal(config);
  const ModelConfig whisper = parsed(
      R"("model_type":"whisper","is_encoder_decoder":true,"d_model":1280,"num_hidden_layers":32,"decoder_layers":4,
         "decoder_attention_heads":20,"decoder_ffn_dim":5120,"vocab_size":51866,"max_target_positions":448)");
  EXPECT_EQ(whisper.layers, 4) << "of the decoder";
  ASSERT_EQ(whisper.left_out.size(), 1u);
  EXPECT_EQ(whisper.left_out.front().find("is_encoder_decoder: "), 0u);
}

}  // namespace
}  // namespace metallic
