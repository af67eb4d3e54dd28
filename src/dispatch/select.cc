// SPDX-License-Identifier: Apache-2.0
#include "dispatch/select.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/matmul/shape.h"
#include "ops/operation.h"
#include "ops/registry.h"

namespace metallic {
namespace {

// Why a candidate of the device's backend may not run the problem, or nothing.
class Admission {
 public:
  Admission(const Problem& problem, const DeviceInfo& device, Numerics numerics)
      : problem_(problem), device_(device), numerics_(numerics) {
    if (numerics != Numerics::batch_invariant) return;
    for (const CanonicalOrder& each : problem.op()->canonical_orders(device.backend)) {
      const Variant* variant = find_variant(problem.op(), each.variant);
      const auto tuning = variant ? find_tuning(*variant, each.tuning) : std::nullopt;
      if (!tuning || variant->rejects(problem, *tuning, device) || (each.applies && !each.applies(problem))) continue;
      wanted_ = variant->reduction_id(problem, *tuning, device);
      wanted_name_ = to_string(*variant, *tuning);
      if (wanted_) return;
    }
  }

  struct Reason {
    std::string text;
    bool of_numerics;  // the variant could run it, but the numerics refuse it
  };

  std::optional<Reason> refusal(const Variant& variant, const Tuning& tuning) const {
    if (auto reason = variant.rejects(problem_, tuning, device_)) return Reason{std::move(*reason), false};
    if (numerics_ != Numerics::fast && !variant.library().empty())
      return Reason{fmt::format("{}: {} does not promise it", name(numerics_), variant.library()), true};
    if (numerics_ != Numerics::batch_invariant || variant.family == "reference") return std::nullopt;
    if (!wanted_) return Reason{"batch_invariant: no variant has an order of its own for it", true};
    if (variant.reduction_id(problem_, tuning, device_) != wanted_)
      return Reason{fmt::format("batch_invariant: sums in another order than {}", wanted_name_), true};
    return std::nullopt;
  }

  // The tuning of an entry that runs, or null. If null, `pass_over` gets the entry and the first reason. A forced variant, or a
  // rule without a tuning, uses the variant's default tuning, or else the first tuning that is not rejected.
  template <typename PassOver>
  const Tuning* admit(const RuleTable::Entry& entry, const PassOver& pass_over) const {
    if (!entry.stale.empty()) {
      pass_over(entry, Reason{entry.stale, false});
      return nullptr;
    }
    std::optional<Reason> reason;
    const auto admitted = [&](const Tuning& tuning) {
      auto refused = refusal(*entry.variant, tuning);
      if (!refused) return true;
      if (!reason) reason = std::move(refused);
      return false;
    };
    const Tuning* const tuning = admitted_point(entry, admitted);
    if (!tuning) pass_over(entry, *reason);
    return tuning;
  }

 private:
  template <typename Admitted>
  const Tuning* admitted_point(const RuleTable::Entry& entry, const Admitted& admitted) const {
    if (entry.tuning) return admitted(*entry.tuning) ? entry.tuning : nullptr;
    const Tuning& preferred = entry.variant->prefer(problem_, device_);
    if (admitted(preferred)) return &preferred;
    const auto tunings = entry.variant->tunings;
    const auto first = std::ranges::find_if(tunings, admitted);
    return first != tunings.end() ? &*first : nullptr;
  }

  const Problem& problem_;
  const DeviceInfo& device_;
  Numerics numerics_;
  std::optional<std::string> wanted_;
  std::string wanted_name_;  // only with wanted_
};

// Shared by choose and decide: the first matching rule that runs, and its tuning; null if none runs. `pass_over` gets each rule
// that does not run, and the reason.
template <typename PassOver>
std::pair<const RuleTable::Entry*, const Tuning*> first_admitted(const Problem& problem, const RuleTable& rules,
                                                                 const Admission& admission, const PassOver& pass_over) {
  const Tuning* tuning = nullptr;
  const auto* entry = rules.find(problem, [&](const RuleTable::Entry& candidate) {
    tuning = admission.admit(candidate, pass_over);
    return tuning != nullptr;
  });
  return {entry, tuning};
}

void record_candidates(const Admission& admission, const DeviceInfo& device, bool forced, Decision& decision) {
  for (const Variant& variant : variants(decision.problem.op())) {
    if (backend_refusal(variant, device)) continue;  // of another device
    for (const Tuning& tuning : variant.tunings) {
      Candidate candidate{.variant = &variant, .tuning = tuning};
      auto refusal = admission.refusal(variant, tuning);
      candidate.possible = !refusal;
      if (&variant != decision.variant || tuning != decision.tuning) {
        if (refusal)
          candidate.rejected = std::move(refusal->text);
        else if (variant.family == "reference")
          candidate.rejected = "the reference runs only where all others reject";
        else
          candidate.rejected = fmt::format("{} {}", forced ? "what is forced is" : "the rule that fired names",
                                           to_string(*decision.variant, decision.tuning));
      }
      decision.candidates.push_back(std::move(candidate));
    }
  }
}

// Whether the user forced the rule, or a profile of the user measured it fastest. Built-in rules are ignored by design, also
// those that a tune keeps because it measured nothing, and so are rules that the requested numerics exclude.
bool unexpected(const Level& level, const Rule& rule, const Admission::Reason& reason) {
  const bool kept = rule.evidence.samples == 0 && rule.evidence != Evidence();
  const bool of_user = (level.source == Source::caller || level.source == Source::user) && !kept;
  return level.forced || (of_user && !reason.of_numerics);
}

}  // namespace

Result<Choice> choose(const Problem& problem, const RuleTable& rules, const DeviceInfo& device) {
  const Admission admission(problem, device, rules.key().numerics);
  bool any_unexpected = false;
  const auto [entry, tuning] =
      first_admitted(problem, rules, admission, [&](const RuleTable::Entry& ignored, const Admission::Reason& reason) {
        any_unexpected |= unexpected(rules.level(ignored), rules.rule(ignored), reason);
      });
  if (!entry) return fail(Code::unsupported, "no variant can run this {}", name(problem.op()));
  return Choice{entry->variant, tuning, rules.level(*entry).source, any_unexpected};
}

Result<Decision> decide(const Problem& problem, const RuleTable& rules, const DeviceInfo& device) {
  Decision decision{.problem = problem};
  const Admission admission(problem, device, rules.key().numerics);
  const auto [entry, tuning] =
      first_admitted(problem, rules, admission, [&](const RuleTable::Entry& ignored, const Admission::Reason& reason) {
        const Rule& rule = rules.rule(ignored);
        const Level& level = rules.level(ignored);
        decision.refused.push_back(
            {fmt::format("{}: {}{}{}: {}", level.origin, rule.use, rule.tuning.empty() ? "" : "@", rule.tuning, reason.text),
             unexpected(level, rule, reason)});
      });
  if (!entry)
    return fail(Code::unsupported, "no variant can run this {}: {}", name(problem.op()),
                decision.refused.empty() ? "none exists" : decision.refused.back().what);
  const Level& level = rules.level(*entry);
  const Rule& rule = rules.rule(*entry);
  decision.variant = entry->variant;
  decision.tuning = *tuning;
  decision.source = level.source;
  decision.rule =
      level.forced ? fmt::format("forced by {}", level.origin) : fmt::format("{} ({})", to_string(rule), level.origin);
  // Another machine's measurements say which variant to try first, not by how much it wins here.
  const bool measured_here = level.source != Source::environment && level.source != Source::family;
  decision.margin = measured_here ? rule.evidence.margin : std::nullopt;
  record_candidates(admission, device, level.forced, decision);
  return decision;
}

Result<Decision> select(const Problem& problem, const SelectionInputs& inputs) {
  METALLIC_CHECK(validate(problem));
  METALLIC_TRY(const RuleTable rules, RuleTable::compile(rule_key(problem, inputs.numerics()), inputs));
  return decide(problem, rules, inputs.device);
}

}  // namespace metallic
