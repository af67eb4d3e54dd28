// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

#include "ops/matmul/shape.h"
#include "tuner/operations/thresholds.h"
#include "tuner/stats/quantile.h"

namespace metallic::tune {
namespace {

// simd_m_min and simd_n_min: packed if big ≥ m and small ≥ n, unpacked otherwise.
void add_pack_thresholds(const std::vector<FitPoint>& points, const std::string& where, const ThresholdMaker& maker, bool stays,
                         const AnalysisOptions& options, std::vector<Threshold>& thresholds) {
  const auto packs = [](std::string_view tuning) {
    return [tuning](const KernelConfig& choice) { return family(choice.variant) == "gemm" && choice.tuning == tuning; };
  };
  const FamilyLosses losses(points, packs("pack=1"), packs("pack=0"));
  const DType dtype = points.front().series->problem.dtype;
  const int64_t default_m = options.default_threshold(kMatmul, "simd_m_min", dtype);
  const int64_t default_n = options.default_threshold(kMatmul, "simd_n_min", dtype);
  std::set<int64_t> bigs = {default_m}, smalls = {default_n};
  for (const FitPoint& point : losses.points()) {
    bigs.insert(point.series->problem.as<MatmulShape>().big());
    smalls.insert(point.series->problem.as<MatmulShape>().small());
  }
  const auto cost = [&](int64_t m, int64_t n, int replicate) {
    double sum = 0;
    for (size_t i = 0; i < losses.points().size(); ++i) {
      const auto& shape = losses.points()[i].series->problem.as<MatmulShape>();
      sum += losses.lost(replicate, i, shape.big() < m || shape.small() < n);
    }
    return sum;
  };
  // The default wins among equals: flat ground moves nothing.
  const auto least = [&](int replicate) {
    std::tuple best{cost(default_m, default_n, replicate) - kEquivalenceBand * losses.weight(), default_m, default_n};
    for (const int64_t m : bigs)
      for (const int64_t n : smalls)
        if (const double here = cost(m, n, replicate); here < std::get<0>(best)) best = {here, m, n};
    return best;
  };
  const auto [lost, m, n] = least(0);
  std::vector<double> ms, ns;
  for (int replicate = 1; replicate < std::min(losses.replicates(), 50); ++replicate) {
    const auto [ignored, m_here, n_here] = least(replicate);
    ms.push_back(static_cast<double>(m_here)), ns.push_back(static_cast<double>(n_here));
  }
  const auto found = [](int64_t value, std::vector<double>& resampled) {
    ThresholdEstimate f{value, value, value, value, value};
    if (!resampled.empty())
      f.low = static_cast<int64_t>(quantile(resampled, 0.025)), f.high = static_cast<int64_t>(quantile(resampled, 0.975));
    return f;
  };
  thresholds.push_back(maker.make("simd_m_min", where, found(m, ms), std::nullopt, stays, default_m));
  thresholds.push_back(maker.make("simd_n_min", where, found(n, ns), std::nullopt, stays, default_n));
  const double regret = losses.weight() > 0 ? cost(m, n, 0) / losses.weight() : 0;
  thresholds[thresholds.size() - 2].regret = thresholds.back().regret = regret;
}

}  // namespace

std::vector<Threshold> matmul_thresholds(const std::vector<FitPoint>& points, const std::vector<Leaf>& leaves, const Candidates&,
                                         const AnalysisOptions& options) {
  const bool stays = leaves.empty();
  const ThresholdMaker maker(points.front().series->problem, options);
  std::vector<Threshold> found;
  for (const int64_t side : {0, 1}) {
    std::vector<FitPoint> of_side, beyond;
    for (const FitPoint& point : points)
      if (value(point.series->problem, Axis::side) == side) of_side.push_back(point);
    if (of_side.empty()) continue;
    const std::string where = side == 0 ? "weights in A" : "weights in B";
    const FamilyLosses losses(
        of_side, [](const KernelConfig& c) { return family(c.variant) == "gemv"; },
        [](const KernelConfig& c) { return family(c.variant) != "gemv"; });
    found.push_back(maker.make("smalln_max_n", where, least_cost(losses), std::nullopt, stays,
                               options.default_threshold(kMatmul, "smalln_max_n", of_side.front().series->problem.dtype)));
    add_regret(found.back(), losses);
    for (const FitPoint& point : of_side)
      if (point.x > found.back().value) beyond.push_back(point);
    // A GPU's GEMM packs nothing and has no such border.
    const bool packs = std::ranges::any_of(beyond, [](const FitPoint& point) {
      return std::ranges::any_of(point.series->candidates,
                                 [](const CandidateTimes& candidate) { return candidate.config.tuning.starts_with("pack="); });
    });
    if (packs) add_pack_thresholds(beyond, where, maker, stays, options, found);
  }
  return found;
}

}  // namespace metallic::tune
