// Rules: an ordered list of "when the problem lies in these ranges, use this variant".
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ops/problem.h"

namespace metallic {

/// Both ends belong to the range; an absent end is open.
struct Range {
  Axis axis;
  std::optional<int64_t> low;
  std::optional<int64_t> high;
  bool operator==(const Range&) const = default;
};

/// What the measurements behind a rule say. Regrets are fractions: 0.01 is one percent.
struct Evidence {
  std::optional<double> regret;          ///< held-out regret over the samples the rule covers
  std::optional<double> default_regret;  ///< that of the built-in rules over the same samples
  std::optional<double> margin;          ///< median advantage over the best other variant
  int64_t samples = 0;                   ///< timed arms it rests on
  std::string note;                      ///< one line for people
  bool operator==(const Evidence&) const = default;
};

struct Rule {
  std::vector<Range> when;  ///< all must hold; empty: always
  std::string use;          ///< a variant's name
  std::string tuning;       ///< `k=v;k=v`, or empty: the variant's own preference
  Evidence evidence;
  bool operator==(const Rule&) const = default;
};

bool matches(const Rule& rule, const Problem& problem);

/// A rule on one line: `seq_k ≤ 1280 and rows 1..16: cpu_vec@unroll=4`.
std::string to_string(const Rule& rule);

/// The condition alone: `rows 2..16 and elements ≥ 1024`; empty where there is none.
std::string to_string(std::span<const Range> ranges);

/// The ways a result may depend on things other than its input.
enum class Numerics : unsigned char {
  fast,             ///< whatever is fastest
  run_to_run,       ///< the same bits for the same plan and input
  batch_invariant,  ///< the same bits for a row whatever rows, batch, N or cores are beside it
};
inline constexpr std::string_view kNumericsNames = "fast, run_to_run or batch_invariant";
std::string_view name(Numerics numerics);
std::optional<Numerics> parse_numerics(std::string_view text);

/// What a rule list applies to; within one level of precedence the first list with an equal key supplies all rules.
struct RuleKey {
  Op op;
  DType dtype = DType::f32;
  int threads = 1;
  Numerics numerics = Numerics::fast;
  std::string layout;
  bool operator==(const RuleKey&) const = default;
};

RuleKey rule_key(const Problem& problem, Numerics numerics);

struct RuleList {
  RuleKey key;
  std::vector<Rule> rules;
  bool operator==(const RuleList&) const = default;
};

}  // namespace metallic
