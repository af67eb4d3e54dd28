// SPDX-License-Identifier: Apache-2.0
// The selection model: a shallow cost-sensitive decision tree over an operation's secondary axes, with segments along its first
// axis in every leaf.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ops/rule.h"
#include "tuner/fit/points.h"
#include "tuner/fit/segments.h"
#include "tuner/operation/operation.h"

namespace metallic::tune {

/// The built-in rules: what they choose for a problem, the rules themselves, and the default tuning of a variant for a problem.
struct Defaults {
  std::function<KernelConfig(const Problem&)> choice;
  std::vector<Rule> rules;
  std::function<std::string(const Problem&, std::string_view variant)> preference;
};

/// The candidates of one rule key: what the built-in rules run, then each variant with its default tuning, then the variants with
/// each tuning that was timed anywhere.
class Candidates {
 public:
  /// Numbers the points: tables indexed by that number make fitting fast.
  Candidates(std::vector<FitPoint>& points, const Defaults& defaults);

  size_t count() const { return choices_.size(); }
  /// The candidate as a rule names it: without a tuning if the variant chooses it. Candidate 0 has no such name.
  const KernelConfig& rule(size_t candidate) const { return choices_[candidate]; }
  /// The candidate at a point.
  const KernelConfig& choice(size_t candidate, const FitPoint& point) const {
    return candidate < varying_ ? varying_choices_[point.index * varying_ + candidate] : choices_[candidate];
  }
  /// The loss of the candidate at a point, a fraction of at most `kNotTimed`, which also stands for "not timed".
  double loss(size_t candidate, const FitPoint& point, int replicate = 0) const;
  const Defaults& defaults() const { return defaults_; }

 private:
  const Defaults& defaults_;
  std::vector<KernelConfig> choices_;
  size_t varying_ = 1;                         // the first candidates, whose config depends on the point
  std::vector<KernelConfig> varying_choices_;  // [point][candidate]
  std::vector<int> in_series_;                 // [point][candidate] its index in the series, -1 if not timed
};

/// The loss of a config at a point, a fraction of at most `kNotTimed`.
double bounded_loss(const FitPoint& point, const KernelConfig& config, int replicate = 0);

struct Leaf {
  std::vector<Range> within;     ///< the box of the leaf, on the axes that the tree splits
  std::vector<FitPoint> points;  ///< by rising x
  std::vector<LossColumn> columns;
  std::vector<AxisSegment> segments;
  double cost = 0;
};

/// Grows trees greedily, by the split that saves most as long as one saves anything. Each rule costs `penalty`, built-in rules
/// too. Leaves are in the order of their boxes.
std::vector<Leaf> fit_tree(std::span<const FitPoint> points, const ModelAxes& axes, const Candidates& candidates, double penalty,
                           int replicate = 0);

/// Restores the built-in rules in each segment that is not surely better where it differs from them. The gain, weighted or with
/// all points alike, must pass an `AcceptanceTest`: half a percent, significant among all candidates and places that might have
/// been chosen for their gain; four percent, significant among segments of that length; or five percent, significant for itself.
void keep_defaults(std::vector<Leaf>& leaves, const Candidates& candidates);

/// The leaves as rules. The border between two segments is the built-in one if it is in the gap, else the zero of the
/// interpolated log ratio of the two candidates, else the geometric mean of the neighbours. Rules reach from half the least to
/// twice the largest measured value: that of the leaf along its segments, that of all points on the other axes. Outside, the next
/// level of precedence decides.
std::vector<Rule> rules_of(const std::vector<Leaf>& leaves, std::span<const FitPoint> all, const ModelAxes& axes,
                           const Candidates& candidates);

/// The border between segment i and the next of a leaf: the largest x of the former.
int64_t border(const Leaf& leaf, size_t i, Axis first, const Candidates& candidates);

}  // namespace metallic::tune
