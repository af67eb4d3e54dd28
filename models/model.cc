#include "models/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "core/label.h"
#include "formats/json.h"

extern "C" {
extern const char metallic_llama_3_1_8b[];
extern const char metallic_llama_3_1_8b_end[];
}

namespace metallic {
namespace {

constexpr int64_t kLargest = 1 << 24;  // of any dimension in a configuration

struct BuiltIn {
  std::string_view name;
  std::string_view text;
};

std::vector<BuiltIn> built_in() {
  return {{"llama-3.1-8b", {metallic_llama_3_1_8b, static_cast<size_t>(metallic_llama_3_1_8b_end - metallic_llama_3_1_8b)}}};
}

struct Projection {
  std::string_view role;
  int64_t out;
  int64_t in;
  double per_token;  // how often one token runs it
};

void add_matmuls(const ModelConfig& model, std::vector<WeightedProblem>& problems) {
  constexpr int64_t kSlices = 8;
  const auto layers = static_cast<double>(model.layers);
  const std::array<Projection, 5> projections = {{
      {"qkv", (model.heads + 2 * model.kv_heads) * model.head_dim, model.hidden, layers},
      {"o", model.hidden, model.heads * model.head_dim, layers},
      {"gate_up", 2 * model.intermediate, model.hidden, layers},
      {"down", model.hidden, model.intermediate, layers},
      {"lm_head (1/8 proxy)", model.vocabulary / kSlices, model.hidden, kSlices},
  }};
  // Weights count each projection by the share of a token's multiply-adds it is, so that all of them sum to 1 per T.
  double total = 0;
  for (const auto& p : projections) total += static_cast<double>(p.out) * static_cast<double>(p.in) * p.per_token;
  for (const int64_t tokens : {1, 2, 4, 8, 16, 32, 64})
    for (const auto& p : projections) {
      const double share = static_cast<double>(p.out) * static_cast<double>(p.in) * p.per_token / total;
      problems.push_back(
          {.problem = matmul_problem(tokens, p.in, p.out, false, true), .weight = share, .role = std::string(p.role)});
    }
  // The guide's orientation, weights first, N varied at fixed M and K: one projection stands for all.
  for (const int64_t n : {1, 2, 3, 4, 8, 16, 32, 64})
    problems.push_back({.problem = matmul_problem(model.hidden, model.hidden, n), .weight = 0.5, .role = "o, weights first"});
  // Around the packing thresholds; attention's products over short contexts are of this size.
  for (const int64_t m : {32, 64, 128, 256})
    for (const int64_t n : {17, 32})
      problems.push_back({.problem = matmul_problem(m, model.head_dim, n), .weight = 0.05, .role = "small GEMM"});
}

void add_softmaxes(const ModelConfig& model, std::vector<WeightedProblem>& problems) {
  constexpr int64_t kMostElements = int64_t{1} << 23;  // 32 MiB in f32: beyond every common cache, within every budget
  constexpr double kWeight = 0.1;
  const std::array<std::pair<int64_t, std::string_view>, 3> row_counts = {
      {{1, "one row"}, {model.heads, "decode, all heads"}, {model.heads * 16, "prefill tile"}}};
  for (const auto& [rows, role] : row_counts)
    for (int64_t seq_k = 64; seq_k <= model.context && rows * seq_k <= kMostElements; seq_k *= 2)
      problems.push_back({.problem = softmax_problem(rows, seq_k), .weight = kWeight, .role = std::string(role)});
  for (const int64_t seq_k : {256, 1024, 4096}) {
    Problem problem = softmax_problem(model.heads, 64, seq_k);
    make_causal(std::get<SoftmaxShape>(problem.shape));
    problems.push_back({.problem = problem, .weight = kWeight, .role = "prefill, causal"});
  }
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& model : built_in()) names.emplace_back(model.name);
  return names;
}

Result<ModelConfig> find_model(std::string_view name) {
  for (const auto& model : built_in())
    if (model.name == name) return parse_model(model.text, name, name);
  return fail(Code::not_found, "unknown model {}: use {}", in_quotes(name), fmt::join(model_names(), ", "));
}

Result<ModelConfig> parse_model(std::string_view text, std::string_view name, std::string_view where) {
  METALLIC_TRY(const Json json, parse_json(text, where, 1 << 20));
  const JsonObject root(json, fmt::format("{}:", where));
  ModelConfig model{.name = std::string(name)};
  METALLIC_TRY(model.hidden, root.integer("hidden_size", 1, kLargest));
  METALLIC_TRY(model.intermediate, root.integer("intermediate_size", 1, kLargest));
  METALLIC_TRY(model.heads, root.integer("num_attention_heads", 1, 65536));
  METALLIC_TRY(model.layers, root.integer("num_hidden_layers", 1, 65536));
  METALLIC_TRY(model.vocabulary, root.integer("vocab_size", 1, kLargest));
  METALLIC_TRY(model.context, root.integer("max_position_embeddings", 1, kLargest));
  model.kv_heads = model.heads;
  if (root.has("num_key_value_heads") && !root.value()["num_key_value_heads"].is_null()) {
    METALLIC_TRY(model.kv_heads, root.integer("num_key_value_heads", 1, model.heads));
  }
  model.head_dim = model.hidden / model.heads;
  if (root.has("head_dim") && !root.value()["head_dim"].is_null()) {
    METALLIC_TRY(model.head_dim, root.integer("head_dim", 1, 65536));
  }
  return model;
}

std::vector<WeightedProblem> model_problems(const ModelConfig& model) {
  std::vector<WeightedProblem> problems;
  add_matmuls(model, problems);
  add_softmaxes(model, problems);
  return problems;
}

Result<std::vector<WeightedProblem>> parse_problem_list(std::string_view text, std::string_view where) {
  constexpr size_t kMostProblems = 10'000;
  std::vector<WeightedProblem> problems;
  for (size_t line = 1; !text.empty(); ++line) {
    std::string_view rest = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), rest.size() + 1));
    rest = rest.substr(0, rest.find('#'));
    const auto word = [&rest] {
      rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(" \t\r")));
      const std::string_view found = rest.substr(0, rest.find_first_of(" \t\r"));
      rest.remove_prefix(found.size());
      return found;
    };
    const std::string_view label_text = word(), weight_text = word(), dtype_text = word(), extra = word();
    if (label_text.empty()) continue;
    const auto parsed = parse_labels(label_text);
    if (!parsed) return fail(parsed.error().code, "{} line {}: {}", where, line, parsed.error().message);
    double weight = 1;
    if (!weight_text.empty()) {
      const auto [stop, status] = std::from_chars(weight_text.data(), weight_text.data() + weight_text.size(), weight);
      if (status != std::errc() || stop != weight_text.data() + weight_text.size() || !(weight > 0) || !std::isfinite(weight))
        return fail(Code::invalid_argument, "{} line {}: weight {} is not a number above 0", where, line, in_quotes(weight_text));
    }
    if (!extra.empty())
      return fail(Code::invalid_argument, "{} line {}: {} after label, weight and type: comments begin with #", where, line,
                  in_quotes(extra));
    const auto dtype = parse_dtype(dtype_text);
    if (!dtype_text.empty() && !dtype)
      return fail(Code::invalid_argument, "{} line {}: type {}: use {}", where, line, in_quotes(dtype_text), kDTypeNames);
    for (const Problem& problem : *parsed)
      problems.push_back(
          {.problem = with_dtype(problem, dtype.value_or(DType::f32)), .weight = weight, .typed = dtype.has_value()});
    if (problems.size() > kMostProblems)
      return fail(Code::invalid_argument, "{} line {}: over {} problems", where, line, kMostProblems);
  }
  if (problems.empty())
    return fail(Code::invalid_argument, "{}: no problem in it: write one label a line, e.g. rows64_seqk512", where);
  return problems;
}

}  // namespace metallic
