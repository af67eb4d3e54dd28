// SPDX-License-Identifier: Apache-2.0
// Thresholds: the constants of classic kernel dispatchers at their best on this machine, with confidence interval and equivalence
// band, for people and for other code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "profile/profile.h"
#include "tuner/fit/analysis.h"
#include "tuner/fit/tree.h"

namespace metallic::tune {

/// The thresholds of one rule key, whose points are given: those that its operation defines in tuner/operations.
///
/// A threshold is the border of the rules if they have exactly one, else the value of least weighted loss. Values that lose less
/// than half a percent against that one are equivalent; among them the earlier value stays, or else the default.
std::vector<Threshold> thresholds(const std::vector<FitPoint>& points, const std::vector<Leaf>& leaves,
                                  const Candidates& candidates, const AnalysisOptions& options);

/// The loss that counts as equally good, a fraction of the points' weight.
inline constexpr double kEquivalenceBand = 0.005;

/// The weighted losses of two families at each point, in each replicate.
class FamilyLosses {
 public:
  FamilyLosses(std::vector<FitPoint> points, const Allowed& a, const Allowed& b);

  const std::vector<FitPoint>& points() const { return points_; }  ///< by rising x
  int replicates() const { return replicates_; }
  double weight() const { return weight_; }
  double lost(int replicate, size_t point, bool b) const {
    return lost_[(static_cast<size_t>(replicate) * points_.size() + point) * 2 + b];
  }

 private:
  std::vector<FitPoint> points_;
  int replicates_ = 1;
  double weight_ = 0;
  std::vector<double> lost_;
};

/// A value with its bootstrap interval and its equivalence band.
struct ThresholdEstimate {
  int64_t value, low, high, band_low, band_high;
};

/// The value up to which family a loses least.
ThresholdEstimate least_cost(const FamilyLosses& losses);

/// The value up to which a leaf's rules run family a, if there is only one. Inside a segment of the built-in rules it is
/// `built_in`.
std::optional<int64_t> only_border(const Leaf& leaf, const Candidates& candidates, const Allowed& a, int64_t built_in);

/// Makes thresholds of one rule key.
class ThresholdMaker {
 public:
  ThresholdMaker(const Problem& problem, const AnalysisOptions& options) : problem_(problem), options_(options) {}

  /// `ruled`: the border of the rules, if they have exactly one. `stays`: the built-in rules stay.
  Threshold make(std::string_view name, std::string where, const ThresholdEstimate& found, std::optional<int64_t> ruled,
                 bool stays, int64_t default_value) const;

 private:
  const Problem& problem_;
  const AnalysisOptions& options_;
};

/// Sets the threshold's regret against the better family at each point.
void add_regret(Threshold& threshold, const FamilyLosses& losses);

}  // namespace metallic::tune
