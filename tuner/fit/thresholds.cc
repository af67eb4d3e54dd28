#include "tuner/fit/thresholds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

namespace metallic::tune {
namespace {

constexpr double kBand = 0.005;  // of the weight: what counts as equally good
constexpr int kReplicates = 200;

// What two ways lose at each point, in each replicate.
class Duel {
 public:
  Duel(std::vector<Point> points, const Allowed& a, const Allowed& b) : points_(std::move(points)) {
    std::ranges::stable_sort(points_, {}, &Point::x);
    replicates_ = std::min(points_.front().replicates->count(), kReplicates);
    for (const Point& point : points_) weight_ += point.weight;
    for (int replicate = 0; replicate < replicates_; ++replicate)
      for (const Point& point : points_)
        for (const Allowed* family : {&a, &b}) {
          const double lost = std::expm1(best_log_time(point, *family, replicate) - point.replicates->best(replicate));
          lost_.push_back(std::isnan(lost) ? 0 : point.weight * std::min(lost, kNotTimed));
        }
  }

  const std::vector<Point>& points() const { return points_; }
  int replicates() const { return replicates_; }
  double weight() const { return weight_; }
  double lost(int replicate, size_t point, bool b) const {
    return lost_[(static_cast<size_t>(replicate) * points_.size() + point) * 2 + b];
  }

 private:
  std::vector<Point> points_;
  int replicates_ = 1;
  double weight_ = 0;
  std::vector<double> lost_;
};

// The cost of a threshold at each place: below all points, between each two, past the last.
struct Costs {
  std::vector<int64_t> place;
  std::vector<double> cost;
  size_t best() const { return static_cast<size_t>(std::ranges::min_element(cost) - cost.begin()); }
};
Costs costs(const Duel& duel, int replicate) {
  const auto& points = duel.points();
  double sum = 0;
  for (size_t i = 0; i < points.size(); ++i) sum += duel.lost(replicate, i, true);
  Costs found{.place = {0}, .cost = {sum}};
  for (size_t i = 0; i < points.size(); ++i) {
    sum += duel.lost(replicate, i, false) - duel.lost(replicate, i, true);
    const bool last = i + 1 == points.size();
    if (!last && points[i + 1].x == points[i].x) continue;
    found.place.push_back(last ? points[i].x : geometric_middle(points[i].x, points[i + 1].x));
    found.cost.push_back(sum);
  }
  return found;
}

struct Found {
  int64_t value, low, high, band_low, band_high;
};
Found least_cost(const Duel& duel) {
  const Costs all = costs(duel, 0);
  const size_t best = all.best();
  const double most = all.cost[best] + kBand * duel.weight();
  size_t low = best, high = best;
  while (low > 0 && all.cost[low - 1] <= most) --low;
  while (high + 1 < all.cost.size() && all.cost[high + 1] <= most) ++high;
  std::vector<double> values;
  for (int replicate = 1; replicate < duel.replicates(); ++replicate) {
    const Costs resampled = costs(duel, replicate);
    values.push_back(static_cast<double>(resampled.place[resampled.best()]));
  }
  Found found{all.place[best], all.place[best], all.place[best], all.place[low], all.place[high]};
  if (!values.empty())
    found.low = static_cast<int64_t>(quantile(values, 0.025)), found.high = static_cast<int64_t>(quantile(values, 0.975));
  return found;
}

// The one value up to which a leaf's rules run family a; nothing where they go to and fro. The built-in rules have their own.
std::optional<int64_t> only_border(const Leaf& leaf, const Candidates& candidates, const Allowed& a, int64_t built_in) {
  std::optional<int64_t> found;
  bool was_a = true;
  for (size_t i = 0; i < leaf.segments.size(); ++i) {
    const Segment& segment = leaf.segments[i];
    bool first = true;
    for (const Point& point : leaf.points) {
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

class Maker {
 public:
  Maker(const Problem& problem, const AnalysisOptions& options) : problem_(problem), options_(options) {}

  // `ruled`: the border that the rules have, where they have one. `stays`: the built-in rules do.
  Threshold make(std::string_view name, std::string where, const Found& found, std::optional<int64_t> ruled, bool stays,
                 int64_t default_value) const {
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

void add_regret(Threshold& threshold, const Duel& duel) {
  double sum = 0;
  for (size_t i = 0; i < duel.points().size(); ++i) sum += duel.lost(0, i, duel.points()[i].x > threshold.value);
  threshold.regret = duel.weight() > 0 ? sum / duel.weight() : 0;
}

// simd_m_min and simd_n_min: packed inside the region big ≥ m and n ≥ n, unpacked outside.
void add_pack_thresholds(const std::vector<Point>& points, const std::string& where, const Maker& maker, bool stays,
                         const AnalysisOptions& options, std::vector<Threshold>& thresholds) {
  const auto packs = [](std::string_view tuning) {
    return [tuning](const Choice& choice) { return family(choice.variant) == "gemm" && choice.tuning == tuning; };
  };
  const Duel duel(points, packs("pack=1"), packs("pack=0"));
  std::set<int64_t> bigs = {options.simd_m_min}, smalls = {options.simd_n_min};
  for (const Point& point : duel.points()) {
    bigs.insert(point.series->problem.matmul().big());
    smalls.insert(point.series->problem.matmul().small());
  }
  const auto cost = [&](int64_t m, int64_t n, int replicate) {
    double sum = 0;
    for (size_t i = 0; i < duel.points().size(); ++i) {
      const auto& shape = duel.points()[i].series->problem.matmul();
      sum += duel.lost(replicate, i, shape.big() < m || shape.small() < n);
    }
    return sum;
  };
  // Of equal ones the default, so that flat ground moves nothing.
  const auto least = [&](int replicate) {
    std::tuple best{cost(options.simd_m_min, options.simd_n_min, replicate) - kBand * duel.weight(), options.simd_m_min,
                    options.simd_n_min};
    for (const int64_t m : bigs)
      for (const int64_t n : smalls)
        if (const double here = cost(m, n, replicate); here < std::get<0>(best)) best = {here, m, n};
    return best;
  };
  const auto [lost, m, n] = least(0);
  std::vector<double> ms, ns;
  for (int replicate = 1; replicate < std::min(duel.replicates(), 50); ++replicate) {
    const auto [ignored, m_here, n_here] = least(replicate);
    ms.push_back(static_cast<double>(m_here)), ns.push_back(static_cast<double>(n_here));
  }
  const auto found = [](int64_t value, std::vector<double>& resampled) {
    Found f{value, value, value, value, value};
    if (!resampled.empty())
      f.low = static_cast<int64_t>(quantile(resampled, 0.025)), f.high = static_cast<int64_t>(quantile(resampled, 0.975));
    return f;
  };
  thresholds.push_back(maker.make("simd_m_min", where, found(m, ms), std::nullopt, stays, options.simd_m_min));
  thresholds.push_back(maker.make("simd_n_min", where, found(n, ns), std::nullopt, stays, options.simd_n_min));
  const double regret = duel.weight() > 0 ? cost(m, n, 0) / duel.weight() : 0;
  thresholds[thresholds.size() - 2].regret = thresholds.back().regret = regret;
}

std::vector<Threshold> softmax_thresholds(const std::vector<Point>& points, const std::vector<Leaf>& leaves,
                                          const Candidates& candidates, const AnalysisOptions& options) {
  const Maker maker(points.front().series->problem, options);
  const Allowed vec = [](const Choice& c) { return family(c.variant) == "vec"; };
  const Allowed not_vec = [](const Choice& c) { return family(c.variant) != "vec"; };
  std::vector<Threshold> found;
  const auto add = [&](const std::vector<Point>& of_part, const std::vector<Range>& within, std::optional<int64_t> ruled,
                       bool stays) {
    const Duel duel(of_part, vec, not_vec);
    found.push_back(
        maker.make("softmax_vec_block", to_string(std::span(within)), least_cost(duel), ruled, stays, options.softmax_vec_block));
    add_regret(found.back(), duel);
  };
  for (const Leaf& leaf : leaves) {
    const bool stays = std::ranges::all_of(leaf.segments, [](const Segment& s) { return s.candidate == 0; });
    add(leaf.points, leaf.within, only_border(leaf, candidates, vec, options.softmax_vec_block), stays);
  }
  if (leaves.empty()) add(points, {}, std::nullopt, true);
  return found;
}

std::vector<Threshold> matmul_thresholds(const std::vector<Point>& points, bool stays, const AnalysisOptions& options) {
  const Maker maker(points.front().series->problem, options);
  std::vector<Threshold> found;
  for (const int64_t side : {0, 1}) {
    std::vector<Point> of_side, beyond;
    for (const Point& point : points)
      if (value(point.series->problem, Axis::side) == side) of_side.push_back(point);
    if (of_side.empty()) continue;
    const std::string where = side == 0 ? "weights in A" : "weights in B";
    const Duel duel(
        of_side, [](const Choice& c) { return family(c.variant) == "gemv"; },
        [](const Choice& c) { return family(c.variant) != "gemv"; });
    found.push_back(maker.make("smalln_max_n", where, least_cost(duel), std::nullopt, stays,
                               options.smalln_max_n(of_side.front().series->problem.dtype)));
    add_regret(found.back(), duel);
    for (const Point& point : of_side)
      if (point.x > found.back().value) beyond.push_back(point);
    // A GPU's GEMM packs nothing, so that there is no border.
    const bool packs = std::ranges::any_of(beyond, [](const Point& point) {
      return std::ranges::any_of(point.series->arms, [](const Arm& arm) { return arm.choice.tuning.starts_with("pack="); });
    });
    if (packs) add_pack_thresholds(beyond, where, maker, stays, options, found);
  }
  return found;
}

}  // namespace

std::vector<Threshold> thresholds(const std::vector<Point>& points, const std::vector<Leaf>& leaves, const Candidates& candidates,
                                  const AnalysisOptions& options) {
  if (points.empty()) return {};
  switch (points.front().series->problem.op()) {
    case Op::softmax: return softmax_thresholds(points, leaves, candidates, options);
    case Op::matmul: return matmul_thresholds(points, leaves.empty(), options);
    case Op::sdpa: break;
  }
  return {};
}

}  // namespace metallic::tune
