#include "dispatch/select.h"

#include <fmt/format.h>

#include <algorithm>

#include "dispatch/defaults.h"
#include "kernels/variants.h"

namespace metallic {
namespace {

// Rules of one level, and how its record names it.
struct Level {
  Source source;
  std::string origin;  // "METALLIC_SOFTMAX_VARIANT=block", a profile's path, "built-in"
  std::vector<Rule> rules;
  std::string family;   // where not empty, only variants of this family count ("mlx" asks for the GEMM family)
  bool forced = false;  // names one variant regardless of the problem
};

// The variants that every batch-invariant plan must agree with: each accepts all shapes of its operation, and its order of
// summation depends on K alone.
std::pair<std::string_view, std::string_view> canonical(Op op) {
  switch (op) {
    case Op::softmax: return {"cpu_vec", "unroll=4"};
    case Op::matmul: return {"cpu_gemm", "pack=1"};
    case Op::sdpa: return {"cpu_materialized", "heads=0"};
  }
  return {};
}

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

// Why a candidate may not run the problem, or nothing.
class Admission {
 public:
  Admission(const Problem& problem, const DeviceFacts& facts, Numerics numerics)
      : problem_(problem), facts_(facts), numerics_(numerics) {
    if (numerics != Numerics::batch_invariant) return;
    const auto [variant_name, tuning_text] = canonical(problem.op());
    const Variant* variant = find_variant(problem.op(), variant_name);
    const auto tuning = variant ? find_tuning(*variant, tuning_text) : std::nullopt;
    if (!tuning || variant->rejects(problem, *tuning, facts)) return;  // of this type or layout only the reference is left
    wanted_ = variant->reduction_id(problem, *tuning, facts);
    wanted_name_ = to_string(*variant, *tuning);
  }

  std::optional<std::string> refusal(const Variant& variant, const Tuning& tuning) const {
    if (variant.backend() != facts_.backend) return fmt::format("made for {}, not for {}", variant.backend(), facts_.backend);
    if (auto reason = variant.rejects(problem_, tuning, facts_)) return reason;
    if (numerics_ != Numerics::fast && !variant.library().empty())
      return fmt::format("{}: {} does not promise it", name(numerics_), variant.library());
    if (wanted_ && variant.reduction_id(problem_, tuning, facts_) != wanted_)
      return fmt::format("batch_invariant: sums in another order than {}", wanted_name_);
    return std::nullopt;
  }

 private:
  const Problem& problem_;
  const DeviceFacts& facts_;
  Numerics numerics_;
  std::optional<std::string> wanted_;
  std::string wanted_name_;
};

std::vector<Level> threshold_levels(const Problem& problem, const SelectionInputs& in) {
  const Environment& e = in.environment;
  Thresholds thresholds;
  std::string set;
  const auto apply = [&](std::string_view variable, const std::optional<int64_t>& value, int64_t& threshold) {
    if (!value) return;
    threshold = *value;
    set += fmt::format("{}{}={}", set.empty() ? "" : " ", variable, *value);
  };
  if (problem.op() == Op::softmax) {
    apply("METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD", e.softmax_vec_block_threshold, thresholds.softmax_vec_block);
  } else if (problem.op() == Op::matmul) {
    apply("METALLIC_MATMUL_SMALLN_MAX_N", e.matmul_smalln_max_n, thresholds.smalln_max_n);
    apply("METALLIC_MATMUL_SIMD_M_MIN", e.matmul_simd_m_min, thresholds.simd_m_min);
    apply("METALLIC_MATMUL_SIMD_N_MIN", e.matmul_simd_n_min, thresholds.simd_n_min);
  }
  if (set.empty()) return {};
  return {{.source = Source::environment, .origin = set, .rules = default_rules(problem.op(), thresholds, in.facts.backend)}};
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
std::vector<Level> rule_levels(const Problem& problem, Numerics numerics, const SelectionInputs& in) {
  std::vector<Level> levels = threshold_levels(problem, in);
  const RuleKey key = rule_key(problem, numerics), fastest = rule_key(problem, Numerics::fast);
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
      {.source = Source::defaults, .origin = "built-in", .rules = default_rules(problem.op(), {}, in.facts.backend)});
  return levels;
}

Result<std::vector<Level>> all_levels(const Problem& problem, Numerics numerics, const SelectionInputs& in) {
  const auto [variable, value, words] = forcing(problem.op());
  const auto& forced = in.environment.*value;
  std::vector<Level> levels;
  std::vector<Level> rules = rule_levels(problem, numerics, in);
  if (forced) {
    METALLIC_TRY(const std::string variant, resolve_variant(problem.op(), *forced, in.facts, variable));
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
    METALLIC_TRY(const std::string variant, resolve_variant(problem.op(), in.options.variant, in.facts, "option variant"));
    Level level{.source = Source::options, .origin = fmt::format("option variant={}", in.options.variant), .forced = true};
    if (variant.empty())
      return fail(Code::invalid_argument, "option variant is {}: use a variant's full name", in_quotes(in.options.variant));
    level.rules = {{.use = variant}};
    levels.push_back(std::move(level));
  }
  levels.insert(levels.end(), after_environment, rules.end());
  return levels;
}

// Tries one rule; fills the decision where it can run.
bool accept(const Rule& rule, const Level& level, const Admission& admission, const SelectionInputs& in, Decision& decision) {
  const Problem& problem = decision.problem;
  if (!matches(rule, problem)) return false;
  const auto pass_over = [&](std::string_view reason) {
    decision.refused.push_back(
        fmt::format("{}: {}{}{}: {}", level.origin, rule.use, rule.tuning.empty() ? "" : "@", rule.tuning, reason));
    return false;
  };
  const Variant* variant = find_variant(problem.op(), rule.use);
  if (!variant) return pass_over("no such variant in this build");
  if (!level.family.empty() && variant->family != level.family) return false;
  // A forced variant and one without a tuning take the variant's preference, or the first point that is not rejected.
  std::vector<Tuning> points;
  if (rule.tuning.empty()) {
    points.push_back(variant->prefer(problem, in.facts));
    points.insert(points.end(), variant->tunings.begin(), variant->tunings.end());
  } else if (const auto tuning = find_tuning(*variant, rule.tuning)) {
    points.push_back(*tuning);
  } else {
    return pass_over("no such tuning in this build");
  }
  std::string reason;
  for (const Tuning& tuning : points) {
    const auto refusal = admission.refusal(*variant, tuning);
    if (refusal && reason.empty()) reason = *refusal;
    if (refusal) continue;
    decision.variant = variant;
    decision.tuning = tuning;
    decision.source = level.source;
    decision.rule =
        level.forced ? fmt::format("forced by {}", level.origin) : fmt::format("{} ({})", to_string(rule), level.origin);
    // What another machine measured says which variant to try first, not by how much it wins here.
    const bool measured_here = level.source != Source::environment && level.source != Source::family;
    decision.margin = measured_here ? rule.evidence.margin : std::nullopt;
    return true;
  }
  return pass_over(reason);
}

void record_candidates(const Admission& admission, Decision& decision) {
  for (const Variant& variant : variants(decision.problem.op()))
    for (const Tuning& tuning : variant.tunings) {
      Candidate candidate{.variant = &variant, .tuning = tuning};
      if (&variant != decision.variant || tuning != decision.tuning) {
        if (auto refusal = admission.refusal(variant, tuning))
          candidate.rejected = *refusal;
        else if (variant.family == "reference")
          candidate.rejected = "the reference runs only where all others reject";
        else
          candidate.rejected = fmt::format("the rule that fired names {}", to_string(*decision.variant, decision.tuning));
      }
      decision.candidates.push_back(std::move(candidate));
    }
}

}  // namespace

Result<std::string> resolve_variant(Op op, std::string_view text, const DeviceFacts& facts, std::string_view where) {
  if (op == Op::matmul && text == "mlx") return std::string();
  std::string allowed(forcing(op).words);
  for (const Variant& variant : variants(op)) {
    const bool short_name = op == Op::softmax ? (text == "vec" || text == "block") : op == Op::matmul && text == "gemv";
    if (text == variant.name || (short_name && variant.name == fmt::format("{}_{}", facts.backend, text)))
      return std::string(variant.name);
    allowed += fmt::format(", {}", variant.name);
  }
  return fail(Code::invalid_argument, "{} is {}: use {}", where, in_quotes(text), allowed);
}

Status check_names(const Environment& environment, const DeviceFacts& facts) {
  for (const Op op : kOps) {
    const auto [variable, value, words] = forcing(op);
    if (const auto& name = environment.*value)
      METALLIC_CHECK(resolve_variant(op, *name, facts, fmt::format("environment variable {}", variable)));
  }
  return {};
}

Result<Decision> select(const Problem& problem, const SelectionInputs& inputs) {
  METALLIC_CHECK(validate(problem));
  const Numerics numerics = inputs.options.numerics.value_or(inputs.environment.numerics);
  Decision decision{.problem = problem};
  const Admission admission(problem, inputs.facts, numerics);
  METALLIC_TRY(const std::vector<Level> levels, all_levels(problem, numerics, inputs));
  for (const Level& level : levels) {
    if (decision.variant) break;
    for (const Rule& rule : level.rules)
      if (accept(rule, level, admission, inputs, decision)) break;
  }
  if (!decision.variant) {
    const Level last{.source = Source::defaults, .origin = "built-in: all others reject"};
    // The built-in rules know nothing of numerics: where what they name is refused for its order, what fixes the order runs.
    const auto [invariant, tuning] = canonical(problem.op());
    const bool fixed = numerics == Numerics::batch_invariant &&
                       accept({.use = std::string(invariant), .tuning = std::string(tuning)}, last, admission, inputs, decision);
    const Rule reference{.use = fmt::format("{}_reference", inputs.facts.backend)};
    if (!fixed && !accept(reference, last, admission, inputs, decision))
      return fail(Code::unsupported, "no variant can run this {}: {}", name(problem.op()),
                  decision.refused.empty() ? "none exists" : decision.refused.back());
  }
  record_candidates(admission, decision);
  return decision;
}

}  // namespace metallic
