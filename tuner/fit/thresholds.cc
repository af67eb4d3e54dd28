#include "tuner/fit/thresholds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <tuple>

#include "tuner/stats/quantile.h"

namespace metallic::tune {
namespace {

constexpr double kBand = 0.005;  // of the weight: a loss that counts as equally good
constexpr int kReplicates = 200;

// The weighted losses of two families at each point, in each replicate.
class FamilyLosses {
 public:
  FamilyLosses(std::vector<FitPoint> points, const Allowed& a, const Allowed& b) : points_(std::move(points)) {
    std::ranges::stable_sort(points_, {}, &FitPoint::x);
    replicates_ = std::min(points_.front().replicates->count(), kReplicates);
    for (const FitPoint& point : points_) weight_ += point.weight;
    for (int replicate = 0; replicate < replicates_; ++replicate)
      for (const FitPoint& point : points_)
        for (const Allowed* family : {&a, &b}) {
          const double lost = std::expm1(best_log_time(point, *family, replicate) - point.replicates->best(replicate));
          lost_.push_back(std::isnan(lost) ? 0 : point.weight * std::min(lost, kNotTimed));
        }
  }

  const std::vector<FitPoint>& points() const { return points_; }
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

// The cost of a threshold at each value that differs: below all points, between each two, past the last.
struct ThresholdCosts {
  std::vector<int64_t> value;
  std::vector<double> cost;
  size_t best() const { return static_cast<size_t>(std::ranges::min_element(cost) - cost.begin()); }
};
ThresholdCosts costs(const FamilyLosses& losses, int replicate) {
  const auto& points = losses.points();
  double sum = 0;
  for (size_t i = 0; i < points.size(); ++i) sum += losses.lost(replicate, i, true);
  ThresholdCosts found{.value = {0}, .cost = {sum}};
  for (size_t i = 0; i < points.size(); ++i) {
    sum += losses.lost(replicate, i, false) - losses.lost(replicate, i, true);
    const bool last = i + 1 == points.size();
    if (!last && points[i + 1].x == points[i].x) continue;
    found.value.push_back(last ? points[i].x : geometric_middle(points[i].x, points[i + 1].x));
    found.cost.push_back(sum);
  }
  return found;
}

struct ThresholdEstimate {
  int64_t value, low, high, band_low, band_high;
};
ThresholdEstimate least_cost(const FamilyLosses& losses) {
  const ThresholdCosts all = costs(losses, 0);
  const size_t best = all.best();
  const double most = all.cost[best] + kBand * losses.weight();
  size_t low = best, high = best;
  while (low > 0 && all.cost[low - 1] <= most) --low;
  while (high + 1 < all.cost.size() && all.cost[high + 1] <= most) ++high;
  std::vector<double> values;
  for (int replicate = 1; replicate < losses.replicates(); ++replicate) {
    const ThresholdCosts resampled = costs(losses, replicate);
    values.push_back(static_cast<double>(resampled.value[resampled.best()]));
  }
  ThresholdEstimate found{all.value[best], all.value[best], all.value[best], all.value[low], all.value[high]};
  if (!values.empty())
    found.low = static_cast<int64_t>(quantile(values, 0.025)), found.high = static_cast<int64_t>(quantile(values, 0.975));
  return found;
}

// The value up to which a leaf's rules run family a, if there is only one. Inside a segment of the built-in rules it is
// `built_in`.
std::optional<int64_t> only_border(const Leaf& leaf, const Candidates& candidates, const Allowed& a, int64_t built_in) {
  std::optional<int64_t> found;
  bool was_a = true;
  for (size_t i = 0; i < leaf.segments.size(); ++i) {
    const AxisSegment& segment = leaf.segments[i];
    bool first = true;
    for (const FitPoint& point : leaf.points) {
      if (point.x < leaf.columns[segment.begin].x || point.x > leaf.columns[segment.end - 1].x) continue;
      const bool is_a = a(candidates.choice(segment.candidate, point));
      if (is_a && !was_a) return std::nullopt;
      if (was_a && !is_a) found = !first ? built_in : i > 0 ? border(leaf, i - 1, Axis::seq_k, candidates) : 0;
      was_a = is_a;
      first = false;
    }
  }
  return found ? found : leaf.points.back().x;
}

class ThresholdMaker {
 public:
  ThresholdMaker(const Problem& problem, const AnalysisOptions& options) : problem_(problem), options_(options) {}

  // `ruled`: the border of the rules, if they have exactly one. `stays`: the built-in rules stay.
  Threshold make(std::string_view name, std::string where, const ThresholdEstimate& found, std::optional<int64_t> ruled,
                 bool stays, int64_t default_value) const {
    Threshold t{.op = problem_.op(),
                .dtype = problem_.dtype,
                .threads = problem_.threads,
                .layout = layout(problem_),
                .name = std::string(name),
                .where = std::move(where),
                .value = found.value,
                .low = found.low,
                .high = found.high,
                .band_low = found.band_low,
                .band_high = found.band_high};
    const auto earlier = std::ranges::find_if(options_.earlier.thresholds, [&](const Threshold& other) {
      return other.op == t.op && other.dtype == t.dtype && other.threads == t.threads && other.layout == t.layout &&
             other.name == t.name && other.where == t.where;
    });
    const auto as_good = [&](int64_t value) { return stays || (value >= t.band_low && value <= t.band_high); };
    if (ruled && !stays)
      t.value = *ruled;
    else if (!stays && earlier != options_.earlier.thresholds.end() && as_good(earlier->value))
      t.value = earlier->value;
    else if (as_good(default_value))
      t.value = default_value;
    t.kept_default = t.value == default_value;
    return t;
  }

 private:
  const Problem& problem_;
  const AnalysisOptions& options_;
};

void add_regret(Threshold& threshold, const FamilyLosses& losses) {
  double sum = 0;
  for (size_t i = 0; i < losses.points().size(); ++i) sum += losses.lost(0, i, losses.points()[i].x > threshold.value);
  threshold.regret = losses.weight() > 0 ? sum / losses.weight() : 0;
}

// simd_m_min and simd_n_min: packed if big ≥ m and small ≥ n, unpacked otherwise.
void add_pack_thresholds(const std::vector<FitPoint>& points, const std::string& where, const ThresholdMaker& maker, bool stays,
                         const AnalysisOptions& options, std::vector<Threshold>& thresholds) {
  const auto packs = [](std::string_view tuning) {
    return [tuning](const KernelConfig& choice) { return family(choice.variant) == "gemm" && choice.tuning == tuning; };
  };
  const FamilyLosses losses(points, packs("pack=1"), packs("pack=0"));
  std::set<int64_t> bigs = {options.simd_m_min}, smalls = {options.simd_n_min};
  for (const FitPoint& point : losses.points()) {
    bigs.insert(point.series->problem.matmul().big());
    smalls.insert(point.series->problem.matmul().small());
  }
  const auto cost = [&](int64_t m, int64_t n, int replicate) {
    double sum = 0;
    for (size_t i = 0; i < losses.points().size(); ++i) {
      const auto& shape = losses.points()[i].series->problem.matmul();
      sum += losses.lost(replicate, i, shape.big() < m || shape.small() < n);
    }
    return sum;
  };
  // The default wins among equals: flat ground moves nothing.
  const auto least = [&](int replicate) {
    std::tuple best{cost(options.simd_m_min, options.simd_n_min, replicate) - kBand * losses.weight(), options.simd_m_min,
                    options.simd_n_min};
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
  thresholds.push_back(maker.make("simd_m_min", where, found(m, ms), std::nullopt, stays, options.simd_m_min));
  thresholds.push_back(maker.make("simd_n_min", where, found(n, ns), std::nullopt, stays, options.simd_n_min));
  const double regret = losses.weight() > 0 ? cost(m, n, 0) / losses.weight() : 0;
  thresholds[thresholds.size() - 2].regret = thresholds.back().regret = regret;
}

std::vector<Threshold> softmax_thresholds(const std::vector<FitPoint>& points, const std::vector<Leaf>& leaves,
                                          const Candidates& candidates, const AnalysisOptions& options) {
  const ThresholdMaker maker(points.front().series->problem, options);
  const Allowed vec = [](const KernelConfig& c) { return family(c.variant) == "vec"; };
  const Allowed not_vec = [](const KernelConfig& c) { return family(c.variant) != "vec"; };
  std::vector<Threshold> found;
  const auto add = [&](const std::vector<FitPoint>& of_part, const std::vector<Range>& within, std::optional<int64_t> ruled,
                       bool stays) {
    const FamilyLosses losses(of_part, vec, not_vec);
    found.push_back(maker.make("softmax_vec_block", to_string(std::span(within)), least_cost(losses), ruled, stays,
                               options.softmax_vec_block));
    add_regret(found.back(), losses);
  };
  for (const Leaf& leaf : leaves) {
    const bool stays = std::ranges::all_of(leaf.segments, [](const AxisSegment& s) { return s.candidate == 0; });
    add(leaf.points, leaf.within, only_border(leaf, candidates, vec, options.softmax_vec_block), stays);
  }
  if (leaves.empty()) add(points, {}, std::nullopt, true);
  return found;
}

std::vector<Threshold> matmul_thresholds(const std::vector<FitPoint>& points, bool stays, const AnalysisOptions& options) {
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
                               options.smalln_max_n(of_side.front().series->problem.dtype)));
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

}  // namespace

std::vector<Threshold> thresholds(const std::vector<FitPoint>& points, const std::vector<Leaf>& leaves,
                                  const Candidates& candidates, const AnalysisOptions& options) {
  if (points.empty()) return {};
  switch (points.front().series->problem.op()) {
    case Op::softmax: return softmax_thresholds(points, leaves, candidates, options);
    case Op::matmul: return matmul_thresholds(points, leaves.empty(), options);
    case Op::sdpa: break;
  }
  return {};
}

}  // namespace metallic::tune
