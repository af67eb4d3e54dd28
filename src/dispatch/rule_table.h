// SPDX-License-Identifier: Apache-2.0
// A rule table: the levels of one key with all names resolved, so that finding the rules of a shape compares only integers.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dispatch/levels.h"
#include "ops/operation.h"
#include "ops/variant.h"

namespace metallic {

/// Why a device cannot run a variant at all, or nothing.
std::optional<std::string> backend_refusal(const Variant& variant, const DeviceInfo& device);

class RuleTable {
 public:
  /// A rule that this key's problems can match.
  struct Entry {
    const Variant* variant = nullptr;  ///< null if this build has none of that name
    const Tuning* tuning = nullptr;    ///< one of the variant's; null: its default tuning
    std::string stale;                 ///< why no problem can follow the rule here, or empty
    uint32_t level = 0, rule = 0;      ///< its position, for the record
  };

  /// An error if the environment or the options force a name that no variant has.
  static Result<RuleTable> compile(const RuleKey& key, const SelectionInputs& in);

  const RuleKey& key() const { return key_; }
  const Level& level(const Entry& entry) const { return levels_[entry.level]; }
  const Rule& rule(const Entry& entry) const { return levels_[entry.level].rules[entry.rule]; }

  /// Calls visit(entry) in order of precedence for each entry that matches the problem, until it returns true. Returns that
  /// entry, or null. The problem must be of the table's key. Each axis is cut at all ends of ranges, and each cell stores the
  /// entries that hold in it. The cost is thus the same few searches, wherever the match is. Testing the entries one by one takes
  /// 1 ns each, and tuning writes lists of 20 to 36.
  template <typename Visit>
  const Entry* find(const Problem& problem, const Visit& visit) const {
    const auto at = axis_values(problem);
    const size_t words = (entries_.size() + 63) / 64;
    std::array<const uint64_t*, kAxes.size()> holds;
    const uint64_t** last = holds.data();
    for (const AxisCells& cells : axes_) *last++ = cells.holds.data() + cells.cell(at[cells.axis]) * words;
    for (size_t word = 0; word < words; ++word) {
      uint64_t matching = ~uint64_t{0};
      for (const uint64_t** axis = holds.data(); axis != last; ++axis) matching &= (*axis)[word];
      for (; matching != 0; matching &= matching - 1) {
        const size_t i = word * 64 + static_cast<size_t>(std::countr_zero(matching));
        if (i >= entries_.size()) break;  // without axes, nothing cleared the bits after the last entry
        if (visit(entries_[i])) return &entries_[i];
      }
    }
    return nullptr;
  }

 private:
  // One axis: the values at which some condition changes, starting with the smallest int64_t. For each cell between two of them,
  // `holds` has a bit for every entry that holds there.
  struct AxisCells {
    size_t axis;
    std::vector<int64_t> begins;
    std::vector<uint64_t> holds;

    size_t cell(int64_t value) const {  // no branch that could be mispredicted
      const int64_t* at = begins.data();
      for (size_t count = begins.size(); count > 1;) {
        const size_t half = count / 2;
        at += at[half] <= value ? half : 0;
        count -= half;
      }
      return static_cast<size_t>(at - begins.data());
    }
  };

  void cut();

  RuleKey key_;
  std::vector<Level> levels_;
  std::vector<Entry> entries_;
  std::vector<AxisCells> axes_;
};

/// The tables of all problems with the same number of threads, each compiled at its first use and kept.
class RuleTables {
 public:
  /// Everything that the inputs refer to must outlive the tables and not change.
  explicit RuleTables(const SelectionInputs& in) : in_(in) {}
  RuleTables(const RuleTables&) = delete;
  RuleTables& operator=(const RuleTables&) = delete;
  ~RuleTables();

  /// The table for a valid problem. Safe from several threads; takes no lock.
  Result<const RuleTable*> of(const Problem& problem) {
    std::atomic<const RuleTable*>& slot = slot_of(problem);
    if (const RuleTable* const kept = slot.load(std::memory_order_acquire)) return kept;
    return compile(problem, slot);
  }

 private:
  std::atomic<const RuleTable*>& slot_of(const Problem& problem) {
    const size_t kind = static_cast<size_t>(problem.op()->order) * kDTypes.size() + static_cast<size_t>(problem.dtype);
    return tables_[kind * kMostLayouts + layout_index(problem)];
  }
  Result<const RuleTable*> compile(const Problem& problem, std::atomic<const RuleTable*>& slot) const;

  SelectionInputs in_;
  std::array<std::atomic<const RuleTable*>, kMostOperations * kDTypes.size() * kMostLayouts> tables_{};
};

}  // namespace metallic
