// SPDX-License-Identifier: Apache-2.0
// Rules: an ordered list of conditions on a problem, each with the variant to use.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ops/problem.h"

namespace metallic {

/// A closed range on an axis; an absent end is open.
struct Range {
  Axis axis;
  std::optional<int64_t> low;
  std::optional<int64_t> high;
  bool operator==(const Range&) const = default;
};

/// The measurements that support a rule. Regrets are fractions: 0.01 is one percent.
struct Evidence {
  /// Mean cross-fitted regret over the shapes that the rule covers and was made from: they are not held out.
  std::optional<double> regret;
  std::optional<double> default_regret;  ///< the same for the built-in rules
  std::optional<double> margin;          ///< mean advantage over the best other variant
  int64_t samples = 0;                   ///< number of timings
  std::string note;                      ///< one line for people
  bool operator==(const Evidence&) const = default;
};

struct Rule {
  std::vector<Range> when;  ///< all must hold; empty: always
  std::string use;          ///< a variant's name
  std::string tuning;       ///< `k=v;k=v`, or empty for the variant's default tuning
  Evidence evidence;
  bool operator==(const Rule&) const = default;
};

bool matches(const Rule& rule, const Problem& problem);

/// A rule as one line: `seq_k ≤ 1280 and rows 1..16: cpu_vec@unroll=4`.
std::string to_string(const Rule& rule);

/// The condition alone: `rows 2..16 and elements ≥ 1024`; empty if there is none.
std::string to_string(std::span<const Range> ranges);

/// What a result may depend on besides its input.
enum class Numerics : unsigned char {
  fast,             ///< whatever is fastest
  run_to_run,       ///< the same bits for the same plan and input
  batch_invariant,  ///< the same bits for a row, independent of rows, batch, N and cores
};
inline constexpr std::string_view kNumericsNames = "fast, run_to_run or batch_invariant";
std::string_view name(Numerics numerics);
std::optional<Numerics> parse_numerics(std::string_view text);

/// What a rule list applies to. Within one level of precedence, the first list with an equal key supplies all rules.
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
