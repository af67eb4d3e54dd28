// Sdpa rules: the best candidates along seq_k, for one or more bands of seq_q (decoding, prefill).
#include "tune/bands.h"
#include "tune/op_rules.h"

namespace metallic::tune {

Fitted sdpa_rules(std::vector<Point> points, const AnalysisOptions&) {
  for (Point& point : points) point.x = point.series->problem.sdpa().seq_k;
  const double penalty = kRulePenalty * total_weight(points);
  const Allowed any = [](const Choice&) { return true; };
  const auto fit = [&](const std::vector<Point>& of_band) { return fit_segments(of_band, any, penalty, 0); };
  Fitted fitted;
  for (const Band& band : split_bands(points, Axis::seq_q, penalty, [&](const auto& of_band) { return fit(of_band).cost; }))
    append_segments(fitted.rules, band.points, fit(band.points).segments, Axis::seq_k, std::nullopt, band.within);
  return fitted;
}

}  // namespace metallic::tune
