#include "dispatch/rule_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "kernels/variants.h"

namespace metallic {
namespace {

// What an entry says besides its bounds.
RuleTable::Entry look_up(Op op, const Rule& rule, const DeviceFacts& facts) {
  RuleTable::Entry entry;
  entry.variant = find_variant(op, rule.use);
  if (!entry.variant) {
    entry.stale = "no such variant in this build";
    return entry;
  }
  const auto tunings = entry.variant->tunings;
  const auto named = std::ranges::find(tunings, rule.tuning, [](const Tuning& tuning) { return to_string(tuning); });
  if (auto refusal = backend_refusal(*entry.variant, facts))
    entry.stale = std::move(*refusal);
  else if (!rule.tuning.empty() && named == tunings.end())
    entry.stale = "no such tuning in this build";
  else if (!rule.tuning.empty())
    entry.tuning = &*named;
  return entry;
}

// Axes that the operation lacks hold for none of its problems.
bool can_match(const Rule& rule, Op op) {
  const Problem any{.shape = op == Op::softmax ? Shape(SoftmaxShape{}) : op == Op::matmul ? Shape(MatmulShape{}) : SdpaShape{}};
  return std::ranges::all_of(rule.when, [&](const Range& range) { return value(any, range.axis).has_value(); });
}

}  // namespace

std::optional<std::string> backend_refusal(const Variant& variant, const DeviceFacts& facts) {
  if (variant.backend() == facts.backend) return std::nullopt;
  return fmt::format("made for {}, not for {}", variant.backend(), facts.backend);
}

Result<RuleTable> RuleTable::compile(const RuleKey& key, const SelectionInputs& in) {
  RuleTable table;
  table.key_ = key;
  METALLIC_TRY(table.levels_, rule_levels(key, in));
  for (uint32_t level = 0; level < table.levels_.size(); ++level) {
    const Level& from = table.levels_[level];
    for (uint32_t rule = 0; rule < from.rules.size(); ++rule) {
      Entry entry = look_up(key.op, from.rules[rule], in.facts);
      if (entry.variant && !from.family.empty() && entry.variant->family != from.family) continue;
      if (!can_match(from.rules[rule], key.op)) continue;
      entry.bounds_begin = static_cast<uint32_t>(table.bounds_.size());
      for (const Range& range : from.rules[rule].when)
        table.bounds_.push_back({.axis = static_cast<uint32_t>(range.axis),
                                 .low = range.low.value_or(std::numeric_limits<int64_t>::min()),
                                 .high = range.high.value_or(std::numeric_limits<int64_t>::max())});
      entry.bounds_end = static_cast<uint32_t>(table.bounds_.size());
      entry.level = level;
      entry.rule = rule;
      table.entries_.push_back(std::move(entry));
    }
  }
  table.link();
  return table;
}

// From the last entry back: where the entry behind begins with the same bounds, it fails with them and is passed over too.
void RuleTable::link() {
  for (size_t i = entries_.size(); i-- > 0;) {
    const Entry& entry = entries_[i];
    bool alike = i + 1 < entries_.size();
    for (uint32_t b = entry.bounds_begin; b < entry.bounds_end; ++b) {
      bounds_[b].next = static_cast<uint32_t>(i + 1);
      if (!alike) continue;
      const Entry& behind = entries_[i + 1];
      const uint32_t there = behind.bounds_begin + (b - entry.bounds_begin);
      alike = there < behind.bounds_end && bounds_[there].same(bounds_[b]);
      if (alike) bounds_[b].next = bounds_[there].next;
    }
  }
}

RuleTables::~RuleTables() {
  for (const auto& table : tables_) delete table.load(std::memory_order_relaxed);
}

Result<const RuleTable*> RuleTables::compile(const Problem& problem, std::atomic<const RuleTable*>& slot) const {
  METALLIC_TRY(RuleTable compiled, RuleTable::compile(rule_key(problem, in_.numerics()), in_));
  auto made = std::make_unique<const RuleTable>(std::move(compiled));
  // Of two threads that compile the same, one keeps its table and the other takes that.
  const RuleTable* first = nullptr;
  if (!slot.compare_exchange_strong(first, made.get(), std::memory_order_acq_rel, std::memory_order_acquire)) return first;
  return made.release();
}

}  // namespace metallic
