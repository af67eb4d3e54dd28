// Softmax rules: a threshold on seq_k between vec and block, for one or more bands of rows.
#include <fmt/format.h>

#include "tune/bands.h"
#include "tune/op_rules.h"

namespace metallic::tune {
namespace {

bool is_vec(const Choice& choice) { return family(choice.variant) == "vec"; }
bool is_not_vec(const Choice& choice) { return !is_vec(choice); }

}  // namespace

Fitted softmax_rules(std::vector<Point> points, const AnalysisOptions& options) {
  for (Point& point : points) point.x = point.series->problem.softmax().seq_k;
  const double penalty = kRulePenalty * total_weight(points);
  Fitted fitted;
  std::string block;  // some variant for what was not measured
  for (const Point& point : points)
    for (const Arm& arm : point.series->arms)
      if (family(arm.choice.variant) == "block") block = arm.choice.variant;

  const BandCost cost = [&](const std::vector<Point>& band) { return fit_threshold(band, is_vec, is_not_vec, penalty, 0).cost; };
  for (const auto& [of_band, within] : split_bands(points, Axis::rows, penalty, cost)) {
    const ThresholdVerdict verdict = decide_threshold(of_band, is_vec, is_not_vec, options.softmax_vec_block, penalty);
    append_segments(fitted.rules, of_band, verdict.fit.below.segments, Axis::seq_k, verdict.fit.value, within);
    append_segments(fitted.rules, of_band, verdict.fit.above.segments, Axis::seq_k, std::nullopt, within);
    if (verdict.fit.above.segments.empty() && !block.empty()) fitted.rules.push_back({.when = within, .use = block});

    const Problem& problem = of_band.front().series->problem;
    Threshold threshold{.op = Op::softmax,
                        .dtype = problem.dtype,
                        .threads = problem.threads,
                        .layout = layout(problem),
                        .name = "softmax_vec_block",
                        .value = verdict.fit.value,
                        .low = verdict.low,
                        .high = verdict.high,
                        .kept_default = verdict.kept_default};
    if (!within.empty()) {
      const Range& rows = within.front();
      if (rows.low && rows.high)
        threshold.where = fmt::format("rows {}..{}", *rows.low, *rows.high);
      else
        threshold.where = rows.low ? fmt::format("rows ≥ {}", *rows.low) : fmt::format("rows ≤ {}", *rows.high);
    }
    fitted.thresholds.push_back(threshold);
  }
  return fitted;
}

}  // namespace metallic::tune
