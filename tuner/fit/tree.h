// The tree: a shallow cost-sensitive decision tree over an operation's second axes with segments along its first in every leaf.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "profile/rule.h"
#include "tuner/fit/points.h"
#include "tuner/fit/segments.h"

namespace metallic::tune {

/// What differs between operations: the axis of segments, one whose values have a tree each, and those that the trees may split.
struct Axes {
  Axis first;
  std::optional<Axis> parts;
  std::vector<Axis> splits;
  int depth;  ///< splits from the root to a leaf, at most
};

/// softmax: seq_k, split by rows and elements. matmul: n, for each side of the weights, split by big and k. sdpa: seq_k, split by
/// seq_q and batch·heads.
const Axes& axes(Op op);

/// What the built-in rules run for a problem, how those rules read, and which tuning a variant prefers there.
struct Defaults {
  std::function<Choice(const Problem&)> choice;
  std::vector<Rule> rules;
  std::function<std::string(const Problem&, std::string_view variant)> preference;
};

/// The candidates of one rule key: whatever the built-in rules run, then each variant as it prefers to be tuned, then the
/// variants with the tunings that were timed anywhere.
class Candidates {
 public:
  /// Numbers the points: tables by that number make fitting fast.
  Candidates(std::vector<Point>& points, const Defaults& defaults);

  size_t count() const { return choices_.size(); }
  /// The candidate as a rule says it, without a tuning where that is left to the variant; the first one has no such form.
  const Choice& rule(size_t candidate) const { return choices_[candidate]; }
  /// The candidate at a point.
  const Choice& choice(size_t candidate, const Point& point) const {
    return candidate < varying_ ? varying_choices_[point.index * varying_ + candidate] : choices_[candidate];
  }
  /// What the candidate loses at a point on all data, a fraction; large where it was not timed.
  double loss(size_t candidate, const Point& point, int replicate = 0) const;
  const Defaults& defaults() const { return defaults_; }

 private:
  const Defaults& defaults_;
  std::vector<Choice> choices_;
  size_t varying_ = 1;                   // so many differ from point to point
  std::vector<Choice> varying_choices_;  // [point][candidate]
  std::vector<int> arms_;                // [point][candidate], -1 where not timed
};

/// What a choice loses at a point, a fraction, bounded: where it was not timed the next rule that matches would run, and what
/// that loses is not known, only that it is no gain.
double bounded_loss(const Point& point, const Choice& choice, int replicate = 0);

struct Leaf {
  std::vector<Range> within;  ///< the leaf's part of the axes that the tree splits
  std::vector<Point> points;  ///< by rising x
  std::vector<Column> columns;
  std::vector<Segment> segments;
  double cost = 0;
};

/// Greedy: the split that saves most, where it saves anything; each rule costs `penalty`, the built-in ones too. Leaves in the
/// order of their boxes.
std::vector<Leaf> fit_tree(std::span<const Point> points, const Axes& axes, const Candidates& candidates, double penalty,
                           int replicate = 0);

/// Puts the built-in rules back where what was chosen instead is not surely better where it differs: it must gain half a percent
/// there, by weight or with all points alike, and more than its one-sided 95 % interval, shared by the candidates and the places
/// that might have been chosen for their gain; or five percent and more than that interval for itself alone.
void keep_defaults(std::vector<Leaf>& leaves, const Candidates& candidates);

/// The leaves as rules. Where two segments meet, the border is the built-in one if it lies in the gap, else where the
/// interpolated log ratio of the two candidates crosses 0, else the geometric mean of the neighbours. Rules reach to half the
/// least and twice the largest value that was measured, of the leaf along its segments, of all on the other axes: beyond, nothing
/// is known, and the next level decides.
std::vector<Rule> rules_of(const std::vector<Leaf>& leaves, std::span<const Point> all, const Axes& axes,
                           const Candidates& candidates);

/// The border between segment i and the next of a leaf: the largest x of the former.
int64_t border(const Leaf& leaf, size_t i, Axis first, const Candidates& candidates);

}  // namespace metallic::tune
