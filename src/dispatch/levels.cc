#include "dispatch/levels.h"

#include <fmt/format.h>

#include <algorithm>

#include "dispatch/defaults.h"
#include "ops/registry.h"

namespace metallic {
namespace {

// The variable that forces an operation's variant, its value, and the short names it takes besides variants' full ones.
struct Forcing {
  std::string_view variable;
  const std::optional<std::string> Environment::*value;
  std::string_view words;
};
Forcing forcing(Op op) {
  switch (op) {
    case Op::softmax: return {"METALLIC_SOFTMAX_VARIANT", &Environment::softmax_variant, "auto, vec, block"};
    case Op::matmul: return {"METALLIC_MATMUL_BACKEND", &Environment::matmul_backend, "auto, gemv, mlx"};
    case Op::sdpa: break;
  }
  return {"METALLIC_SDPA_VARIANT", &Environment::sdpa_variant, "auto"};
}

std::vector<Level> threshold_levels(const RuleKey& key, const SelectionInputs& in) {
  const Environment& e = in.environment;
  Thresholds thresholds(in.device, key.dtype);
  std::string set;
  const auto apply = [&](std::string_view variable, const std::optional<int64_t>& value, int64_t& threshold) {
    if (!value) return;
    threshold = *value;
    set += fmt::format("{}{}={}", set.empty() ? "" : " ", variable, *value);
  };
  if (key.op == Op::softmax) {
    apply("METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD", e.softmax_vec_block_threshold, thresholds.softmax_vec_block);
  } else if (key.op == Op::matmul) {
    apply("METALLIC_MATMUL_SMALLN_MAX_N", e.matmul_smalln_max_n, thresholds.smalln_max_n);
    if (e.matmul_smalln_max_n) thresholds.smalln_across_max_n = thresholds.smalln_most_n = *e.matmul_smalln_max_n;
    apply("METALLIC_MATMUL_SIMD_M_MIN", e.matmul_simd_m_min, thresholds.simd_m_min);
    apply("METALLIC_MATMUL_SIMD_N_MIN", e.matmul_simd_n_min, thresholds.simd_n_min);
  }
  if (set.empty()) return {};
  return {{.source = Source::environment, .origin = set, .rules = default_rules(key, thresholds, in.device)}};
}

double times_apart(int a, int b) { return static_cast<double>(std::max(a, b)) / std::min(a, b); }

// The first list of a profile with this key. That of another machine of the family stands for any number of threads: the
// list of the nearest one, by ratio, is taken.
const RuleList* find_list(const ProfileLevel& level, const RuleKey& key) {
  const RuleList* nearest = nullptr;
  for (const RuleList& list : level.profile.lists) {
    RuleKey same = key;
    if (level.source == Source::family) same.threads = list.key.threads;
    if (list.key != same) continue;
    if (!nearest || times_apart(list.key.threads, key.threads) < times_apart(nearest->key.threads, key.threads)) nearest = &list;
  }
  return nearest;
}

// All levels from the highest precedence down, without the forced ones.
std::vector<Level> unforced_levels(const RuleKey& key, const SelectionInputs& in) {
  std::vector<Level> levels = threshold_levels(key, in);
  RuleKey fastest = key;
  fastest.numerics = Numerics::fast;
  std::vector<std::pair<double, Level>> family;
  for (const ProfileLevel& level : in.profiles) {
    const RuleList* list = find_list(level, key);
    // No list of its own: the fastest candidates in order, of which admission leaves what the numerics allow.
    if (!list) list = find_list(level, fastest);
    if (!list) continue;
    Level found{.source = level.source, .origin = level.path, .rules = list->rules};
    if (level.source == Source::family) {
      found.origin += fmt::format(" with {} thread{}", list->key.threads, list->key.threads == 1 ? "" : "s");
      family.emplace_back(times_apart(list->key.threads, key.threads), std::move(found));
    } else {
      levels.push_back(std::move(found));
    }
  }
  // Of several machines of the family, the one with the nearest number of threads comes first.
  std::ranges::stable_sort(family, {}, &std::pair<double, Level>::first);
  for (auto& [distance, level] : family) levels.push_back(std::move(level));
  levels.push_back(
      {.source = Source::defaults, .origin = "built-in", .rules = default_rules(key, Thresholds(in.device, key.dtype), in.device)});
  return levels;
}

// What runs where all others reject. The built-in rules know nothing of numerics: where what they name is refused for its
// order, what fixes the order runs before the reference does, with whichever of its tunings has that order.
Level last_level(const RuleKey& key, std::string_view backend) {
  Level level{.source = Source::defaults, .origin = "built-in: all others reject"};
  if (key.numerics == Numerics::batch_invariant)
    for (const Canonical& each : canonical(key.op, backend)) level.rules.push_back({.use = std::string(each.variant)});
  if (backend == "cpu") level.rules.push_back({.use = "cpu_reference"});  // a GPU's variants take all there is
  return level;
}

}  // namespace

std::span<const Canonical> canonical(Op op, std::string_view backend) {
  // A row in the registers of part of a warp up to a cluster, as long as it is; longer ones, and those that begin anywhere, in
  // the order of one block.
  static constexpr Canonical kCudaSoftmax[] = {{"cuda_vec", "block=512;chunks=4"}, {"cuda_block", "fixed=1;threads=256"}};
  // Hopper's tensor cores, for one row as for thousands, where its copy engine serves them.
  static constexpr Canonical kCudaMatmul[] = {{"cuda_wgmma", "columns=64;rows=128;split=1", true},
                                              {"cuda_gemm", "split=1;tile=64"},
                                              {"cuda_gemm", "split=1;tile=16"}};  // the same order, of any number of rows
  static constexpr Canonical kSoftmax[] = {{"cpu_vec", "unroll=4"}};
  static constexpr Canonical kMatmul[] = {{"cpu_gemm", "pack=1"}};
  static constexpr Canonical kSdpa[] = {{"cpu_materialized", "heads=0"}};
  const bool cuda = backend == "cuda";
  switch (op) {
    case Op::softmax: return cuda ? kCudaSoftmax : std::span<const Canonical>(kSoftmax);
    case Op::matmul: return cuda ? std::span<const Canonical>(kCudaMatmul) : kMatmul;
    case Op::sdpa: return cuda ? std::span<const Canonical>() : kSdpa;
  }
  return {};
}

Result<std::vector<Level>> rule_levels(const RuleKey& key, const SelectionInputs& in) {
  const auto [variable, value, words] = forcing(key.op);
  const auto& forced = in.environment.*value;
  std::vector<Level> levels;
  std::vector<Level> rules = unforced_levels(key, in);
  if (forced) {
    METALLIC_TRY(const std::string variant, resolve_variant(key.op, *forced, in.device, variable));
    Level level{.source = Source::environment, .origin = fmt::format("{}={}", variable, *forced), .forced = true};
    if (variant.empty()) {
      level.family = "gemm";
      for (const Level& lower : rules) level.rules.insert(level.rules.end(), lower.rules.begin(), lower.rules.end());
    } else {
      level.rules = {{.use = variant}};
    }
    levels.push_back(std::move(level));
  }
  // A forced variant of the call stands between the environment and the profiles.
  const auto after_environment = std::ranges::find_if(rules, [](const Level& l) { return l.source != Source::environment; });
  levels.insert(levels.end(), rules.begin(), after_environment);
  if (!in.options.variant.empty()) {
    METALLIC_TRY(const std::string variant, resolve_variant(key.op, in.options.variant, in.device, "option variant"));
    Level level{.source = Source::options, .origin = fmt::format("option variant={}", in.options.variant), .forced = true};
    if (variant.empty())
      return fail(Code::invalid_argument, "option variant is {}: use a variant's full name", in_quotes(in.options.variant));
    level.rules = {{.use = variant}};
    levels.push_back(std::move(level));
  }
  levels.insert(levels.end(), after_environment, rules.end());
  levels.push_back(last_level(key, in.device.backend));
  return levels;
}

Result<std::string> resolve_variant(Op op, std::string_view text, const DeviceInfo& device, std::string_view where) {
  if (op == Op::matmul && text == "mlx") return std::string();
  std::string allowed(forcing(op).words);
  for (const Variant& variant : variants(op)) {
    const bool short_name = op == Op::softmax ? (text == "vec" || text == "block") : op == Op::matmul && text == "gemv";
    if (text == variant.name || (short_name && variant.name == fmt::format("{}_{}", device.backend, text)))
      return std::string(variant.name);
    allowed += fmt::format(", {}", variant.name);
  }
  return fail(Code::invalid_argument, "{} is {}: use {}", where, in_quotes(text), allowed);
}

Status check_names(const Environment& environment, const DeviceInfo& device) {
  for (const Op op : kOps) {
    const auto [variable, value, words] = forcing(op);
    if (const auto& name = environment.*value)
      METALLIC_CHECK(resolve_variant(op, *name, device, fmt::format("environment variable {}", variable)));
  }
  return {};
}

}  // namespace metallic
