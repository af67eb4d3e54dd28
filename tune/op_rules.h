// The rules of one operation from its measured points: what differs between operations, in one place each.
#pragma once

#include <span>
#include <vector>

#include "core/rule.h"
#include "formats/profile.h"
#include "tune/analysis.h"
#include "tune/fit.h"

namespace metallic::tune {

struct Fitted {
  std::vector<Rule> rules;
  std::vector<Threshold> thresholds;  ///< without regret, which is scored afterwards
};

/// What each further rule must gain: half a percent of the weighted time.
inline constexpr double kRulePenalty = 0.005;

/// Points of one rule key; their x is not set yet. softmax: x = seq_k, bands of rows. matmul: x = n, one part a side of
/// the weights. sdpa: x = seq_k, bands of seq_q.
Fitted softmax_rules(std::vector<Point> points, const AnalysisOptions& options);
Fitted matmul_rules(std::vector<Point> points, const AnalysisOptions& options);
Fitted sdpa_rules(std::vector<Point> points, const AnalysisOptions& options);

/// Appends rules for stretches of an axis: a border between two measured points lies at their geometric mean, the last
/// stretch ends at `last` (open where there is none), and every rule also holds `within`.
void append_segments(std::vector<Rule>& rules, std::span<const Point> points, std::span<const Segment> segments, Axis axis,
                     std::optional<int64_t> last, std::span<const Range> within);

/// The sum of the points' weights.
double total_weight(std::span<const Point> points);

}  // namespace metallic::tune
