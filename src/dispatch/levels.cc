// SPDX-License-Identifier: Apache-2.0
#include "dispatch/levels.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/operation.h"
#include "ops/registry.h"

namespace metallic {
namespace {

// The built-in rules with the limits from the environment, if it overrides any of the operation.
std::vector<Level> limit_levels(const RuleKey& key, const SelectionInputs& in) {
  std::string set;
  for (const LimitVariable& limit : key.op->limits)
    if (const auto found = in.environment.limits.find(limit.variable); found != in.environment.limits.end())
      set += fmt::format("{}{}={}", set.empty() ? "" : " ", limit.variable, found->second);
  if (set.empty()) return {};
  return {{.source = Source::environment, .origin = set, .rules = key.op->default_rules(key, in.device, in.environment.limits)}};
}

double times_apart(int a, int b) { return static_cast<double>(std::max(a, b)) / std::min(a, b); }

// The first list of a profile with this key. A list from another machine of the family counts for any number of threads: the list
// with the nearest number, by ratio, is used.
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

// All levels from the highest precedence down, except the forced ones.
std::vector<Level> unforced_levels(const RuleKey& key, const SelectionInputs& in) {
  std::vector<Level> levels = limit_levels(key, in);
  RuleKey fastest = key;
  fastest.numerics = Numerics::fast;
  std::vector<std::pair<double, Level>> family;
  for (const ProfileLevel& level : in.profiles) {
    const RuleList* list = find_list(level, key);
    // No list for these numerics: use the fastest candidates in order; admission then rejects what the numerics do not allow.
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
  // Among machines of the family, the one with the nearest number of threads comes first.
  std::ranges::stable_sort(family, {}, &std::pair<double, Level>::first);
  for (auto& [distance, level] : family) levels.push_back(std::move(level));
  levels.push_back({.source = Source::defaults, .origin = "built-in", .rules = key.op->default_rules(key, in.device, {})});
  return levels;
}

// What runs if all others reject. The built-in rules ignore numerics. If the variant they name is refused for its order, the
// variant that defines the order runs before the reference does, with whichever of its tunings has that order.
Level last_level(const RuleKey& key, std::string_view backend) {
  Level level{.source = Source::defaults, .origin = "built-in: all others reject"};
  if (key.numerics == Numerics::batch_invariant)
    for (const CanonicalOrder& each : key.op->canonical_orders(backend))
      level.rules.push_back({.use = std::string(each.variant)});
  if (backend == "cpu") level.rules.push_back({.use = "cpu_reference"});  // a GPU's variants accept every problem
  return level;
}

}  // namespace

Result<std::vector<Level>> rule_levels(const RuleKey& key, const SelectionInputs& in) {
  const auto forced = in.environment.variants.find(key.op->name);
  std::vector<Level> levels;
  std::vector<Level> rules = unforced_levels(key, in);
  if (forced != in.environment.variants.end()) {
    const std::string& text = forced->second;
    METALLIC_TRY(Rule rule, forced_rule(key.op, text, in.device, key.op->variant_variable));
    Level level{.source = Source::environment, .origin = fmt::format("{}={}", key.op->variant_variable, text), .forced = true};
    if (rule.use.empty()) {
      level.family = std::ranges::find(key.op->short_names, text, &ShortName::word)->family;
      for (const Level& lower : rules) level.rules.insert(level.rules.end(), lower.rules.begin(), lower.rules.end());
    } else {
      level.rules = {std::move(rule)};
    }
    levels.push_back(std::move(level));
  }
  // A variant that the call forces ranks between the environment and the profiles.
  const auto after_environment = std::ranges::find_if(rules, [](const Level& l) { return l.source != Source::environment; });
  levels.insert(levels.end(), rules.begin(), after_environment);
  if (!in.options.variant.empty()) {
    METALLIC_TRY(Rule rule, forced_rule(key.op, in.options.variant, in.device, "option variant"));
    Level level{.source = Source::options, .origin = fmt::format("option variant={}", in.options.variant), .forced = true};
    if (rule.use.empty())
      return fail(Code::invalid_argument, "option variant is {}: use a variant's full name", in_quotes(in.options.variant));
    level.rules = {std::move(rule)};
    levels.push_back(std::move(level));
  }
  levels.insert(levels.end(), after_environment, rules.end());
  levels.push_back(last_level(key, in.device.backend));
  return levels;
}

Result<Rule> forced_rule(Op op, std::string_view text, const DeviceInfo& device, std::string_view where) {
  const size_t at = text.find('@');
  const std::string_view wanted = text.substr(0, at);
  const auto short_name = std::ranges::find(op->short_names, wanted, &ShortName::word);
  const bool is_short = short_name != op->short_names.end();
  if (is_short && !short_name->family.empty() && at == text.npos) return Rule{};
  std::string allowed = short_words(op);
  for (const Variant& variant : variants(op)) {
    allowed += fmt::format(", {}", variant.name);
    if (wanted != variant.name && (!is_short || variant.name != fmt::format("{}_{}", device.backend, wanted))) continue;
    if (at == text.npos) return Rule{.use = std::string(variant.name)};
    const std::string_view tuning = text.substr(at + 1);
    if (find_tuning(variant, tuning)) return Rule{.use = std::string(variant.name), .tuning = std::string(tuning)};
    return fail(Code::invalid_argument, "{} is {}: {} has no such tuning: see metallic list --op {}", where, in_quotes(text),
                variant.name, op->name);
  }
  return fail(Code::invalid_argument, "{} is {}: use {}", where, in_quotes(text), allowed);
}

Status check_names(const Environment& environment, const DeviceInfo& device) {
  for (const Op op : operations())
    if (const auto forced = environment.variants.find(op->name); forced != environment.variants.end())
      METALLIC_CHECK(forced_rule(op, forced->second, device, fmt::format("environment variable {}", op->variant_variable)));
  return {};
}

}  // namespace metallic
