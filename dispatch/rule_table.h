// A rule table: the levels of one key with every name looked up, so that finding the rules of a shape compares integers only.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/variant.h"
#include "dispatch/levels.h"

namespace metallic {

/// Why a device cannot run a variant at all, or nothing.
std::optional<std::string> backend_refusal(const Variant& variant, const DeviceFacts& facts);

class RuleTable {
 public:
  /// A rule that this key's problems can match.
  struct Entry {
    const Variant* variant = nullptr;  ///< null where this build has none of that name
    const Tuning* tuning = nullptr;    ///< one of the variant's; null: the variant's preference
    std::string stale;                 ///< why no problem can follow the rule here, or empty
    uint32_t bounds_begin = 0, bounds_end = 0;
    uint32_t level = 0, rule = 0;  ///< where it stands, for the record
  };

  /// An error where the environment or the options force a name that no variant has.
  static Result<RuleTable> compile(const RuleKey& key, const SelectionInputs& in);

  const RuleKey& key() const { return key_; }
  const Level& level(const Entry& entry) const { return levels_[entry.level]; }
  const Rule& rule(const Entry& entry) const { return levels_[entry.level].rules[entry.rule]; }

  /// Calls visit(entry) for each entry that the problem, one of the table's key, matches, in order of precedence, until it gives
  /// true; the entry that did, or null. A bound that fails passes over all entries that begin with the same bounds: tuning writes
  /// the leaves of a tree one after the other, whose bounds begin alike. A step takes 1 ns.
  template <typename Visit>
  const Entry* find(const Problem& problem, const Visit& visit) const {
    const auto at = axis_values(problem);
    for (size_t i = 0; i < entries_.size();) {
      const Entry& entry = entries_[i];
      const Bound* bound = bounds_.data() + entry.bounds_begin;
      const Bound* const end = bounds_.data() + entry.bounds_end;
      while (bound != end && bound->low <= at[bound->axis] && at[bound->axis] <= bound->high) ++bound;
      if (bound == end && visit(entry)) return &entry;
      i = bound == end ? i + 1 : bound->next;
    }
    return nullptr;
  }

 private:
  struct Bound {
    uint32_t axis;
    uint32_t next = 0;  // the entry to go on with where this fails
    int64_t low, high;
    bool same(const Bound& other) const { return axis == other.axis && low == other.low && high == other.high; }
  };

  void link();

  RuleKey key_;
  std::vector<Level> levels_;
  std::vector<Entry> entries_;
  std::vector<Bound> bounds_;
};

/// The tables of all problems that have the same number of threads, each compiled at its first use and kept.
class RuleTables {
 public:
  /// What the inputs refer to outlives the tables and does not change.
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
    const size_t kind = problem.shape.index() * kDTypes.size() + static_cast<size_t>(problem.dtype);
    return tables_[kind * kLayouts + layout_index(problem)];
  }
  Result<const RuleTable*> compile(const Problem& problem, std::atomic<const RuleTable*>& slot) const;

  SelectionInputs in_;
  std::array<std::atomic<const RuleTable*>, kOps.size() * kDTypes.size() * kLayouts> tables_{};
};

}  // namespace metallic
