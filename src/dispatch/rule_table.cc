// SPDX-License-Identifier: Apache-2.0
#include "dispatch/rule_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "ops/registry.h"

namespace metallic {
namespace {

// The entry of a rule, without its position.
RuleTable::Entry look_up(Op op, const Rule& rule, const DeviceInfo& device) {
  RuleTable::Entry entry;
  entry.variant = find_variant(op, rule.use);
  if (!entry.variant) {
    entry.stale = "no such variant in this build";
    return entry;
  }
  const auto tunings = entry.variant->tunings;
  const auto named = std::ranges::find(tunings, rule.tuning, [](const Tuning& tuning) { return to_string(tuning); });
  if (auto refusal = backend_refusal(*entry.variant, device))
    entry.stale = std::move(*refusal);
  else if (!rule.tuning.empty() && named == tunings.end())
    entry.stale = "no such tuning in this build";
  else if (!rule.tuning.empty())
    entry.tuning = &*named;
  return entry;
}

// A condition on an axis that the operation lacks holds for none of its problems.
bool can_match(const Rule& rule, Op op) {
  return std::ranges::all_of(rule.when,
                             [&](const Range& range) { return std::ranges::find(op->axes, range.axis) != op->axes.end(); });
}

}  // namespace

std::optional<std::string> backend_refusal(const Variant& variant, const DeviceInfo& device) {
  if (variant.backend() == device.backend) return std::nullopt;
  return fmt::format("made for {}, not for {}", variant.backend(), device.backend);
}

Result<RuleTable> RuleTable::compile(const RuleKey& key, const SelectionInputs& in) {
  RuleTable table;
  table.key_ = key;
  METALLIC_TRY(table.levels_, rule_levels(key, in));
  for (uint32_t level = 0; level < table.levels_.size(); ++level) {
    const Level& from = table.levels_[level];
    for (uint32_t rule = 0; rule < from.rules.size(); ++rule) {
      Entry entry = look_up(key.op, from.rules[rule], in.device);
      if (entry.variant && !from.family.empty() && entry.variant->family != from.family) continue;
      if (!can_match(from.rules[rule], key.op)) continue;
      entry.level = level;
      entry.rule = rule;
      table.entries_.push_back(std::move(entry));
    }
  }
  table.cut();
  return table;
}

void RuleTable::cut() {
  const size_t words = (entries_.size() + 63) / 64;
  for (const Axis axis : kAxes) {
    AxisCells cells{.axis = static_cast<size_t>(axis), .begins = {std::numeric_limits<int64_t>::min()}, .holds = {}};
    for (const Entry& entry : entries_)
      for (const Range& range : rule(entry).when) {
        if (range.axis != axis) continue;
        if (range.low) cells.begins.push_back(*range.low);
        if (range.high && *range.high < std::numeric_limits<int64_t>::max()) cells.begins.push_back(*range.high + 1);
      }
    if (cells.begins.size() == 1) continue;  // no rule tests it
    std::ranges::sort(cells.begins);
    cells.begins.erase(std::ranges::unique(cells.begins).begin(), cells.begins.end());
    cells.holds.resize(cells.begins.size() * words);
    for (size_t cell = 0; cell < cells.begins.size(); ++cell) {
      const int64_t value = cells.begins[cell];
      const auto holds = [&](const Range& range) {
        return range.axis != axis || (range.low.value_or(value) <= value && value <= range.high.value_or(value));
      };
      for (size_t i = 0; i < entries_.size(); ++i)
        if (std::ranges::all_of(rule(entries_[i]).when, holds)) cells.holds[cell * words + i / 64] |= uint64_t{1} << i % 64;
    }
    axes_.push_back(std::move(cells));
  }
}

RuleTables::~RuleTables() {
  for (const auto& table : tables_) delete table.load(std::memory_order_relaxed);
}

Result<const RuleTable*> RuleTables::compile(const Problem& problem, std::atomic<const RuleTable*>& slot) const {
  METALLIC_TRY(RuleTable compiled, RuleTable::compile(rule_key(problem, in_.numerics()), in_));
  auto made = std::make_unique<const RuleTable>(std::move(compiled));
  // If two threads compile the same table, both use the one stored first.
  const RuleTable* first = nullptr;
  if (!slot.compare_exchange_strong(first, made.get(), std::memory_order_acq_rel, std::memory_order_acquire)) return first;
  return made.release();
}

}  // namespace metallic
