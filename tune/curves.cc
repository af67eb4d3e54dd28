#include "tune/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tune/statistics.h"

namespace metallic::tune {

std::string held_fixed(const Problem& problem) {
  if (problem.op() == Op::sdpa) {
    const auto& s = problem.sdpa();
    return fmt::format("batch = {}, heads = {}/{}, seq_q = {}, head_dim = {}", s.batch, s.heads, s.kv_heads, s.seq_q, s.head_dim);
  }
  if (problem.op() == Op::softmax) {
    const auto& s = problem.softmax();
    return s.rank == 2 ? fmt::format("rows = {}", s.seq_q) : fmt::format("batch = {}, seq_q = {}", s.batch, s.seq_q);
  }
  const auto& s = problem.matmul();
  return fmt::format("big = {}, k = {}, weights in {}{}", s.big(), s.k, s.weights_in_a() ? 'A' : 'B',
                     s.batch == 1 ? "" : fmt::format(", batch = {}", s.batch));
}

namespace {

// The abscissa of the only change from a to b in a replicate; nothing where there is none, or several.
std::optional<double> crossover(std::span<const Point> points, const Allowed& a, const Allowed& b, int replicate) {
  std::optional<double> found;
  double before = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const double ratio = best_log_time(points[i], a, replicate) - best_log_time(points[i], b, replicate);
    if (i > 0 && (before < 0) != (ratio < 0)) {
      if (found || before >= 0) return std::nullopt;
      found = crossing(points[i - 1].x, before, points[i].x, ratio);
    }
    before = ratio;
  }
  return found;
}

Curve make_curve(std::span<const Point> points, bool softmax) {
  const Series& first = *points.front().series;
  const std::string_view small = softmax ? "vec" : "gemv";
  const Allowed a = [&](const Choice& c) { return family(c.variant) == small; };
  const std::string_view big = softmax ? "block" : "gemm";
  const Allowed b = [&](const Choice& c) { return family(c.variant) == big; };
  Curve curve{.op = first.problem.op(),
              .dtype = first.problem.dtype,
              .threads = first.problem.threads,
              .layout = layout(first.problem),
              .cache = first.cache,
              .axis = softmax ? Axis::seq_k : Axis::n,
              .where = held_fixed(first.problem),
              .family_a = std::string(small),
              .family_b = std::string(big)};
  const int replicates = points.front().replicates->count();
  for (const Point& point : points) {
    const auto ratio = [&](int replicate) { return best_log_time(point, a, replicate) - best_log_time(point, b, replicate); };
    std::vector<double> resampled;
    for (int replicate = 1; replicate < replicates; ++replicate) resampled.push_back(ratio(replicate));
    Curve::Point p{.x = point.x,
                   .log_ratio = ratio(0),
                   .time_a = std::exp(best_log_time(point, a, 0)),
                   .time_b = std::exp(best_log_time(point, b, 0))};
    p.low = resampled.empty() ? p.log_ratio : quantile(resampled, 0.025);
    p.high = resampled.empty() ? p.log_ratio : quantile(resampled, 0.975);
    curve.points.push_back(p);
  }
  curve.crossover = crossover(points, a, b, 0);
  std::vector<double> crossovers;
  for (int replicate = 1; replicate < replicates && curve.crossover; ++replicate)
    if (const auto x = crossover(points, a, b, replicate)) crossovers.push_back(*x);
  // Where many replicates have no single crossover, an interval of the rest would claim too much.
  if (static_cast<int>(crossovers.size()) * 10 >= (replicates - 1) * 9 && !crossovers.empty()) {
    curve.crossover_low = quantile(crossovers, 0.025);
    curve.crossover_high = quantile(crossovers, 0.975);
  }
  return curve;
}

}  // namespace

std::vector<Curve> curves(std::span<const Point> points) {
  std::map<std::tuple<Op, DType, std::string, std::string, std::string, int>, std::vector<Point>> groups;
  for (Point point : points) {
    const Problem& problem = point.series->problem;
    if (problem.op() == Op::sdpa) continue;  // no two families share its axis yet
    const bool softmax = problem.op() == Op::softmax;
    point.x = *value(problem, softmax ? Axis::seq_k : Axis::n);
    const auto timed = [&](std::string_view wanted) {
      return std::ranges::any_of(point.series->arms, [&](const Arm& arm) { return family(arm.choice.variant) == wanted; });
    };
    if (timed(softmax ? "vec" : "gemv") && timed(softmax ? "block" : "gemm"))
      groups[{problem.op(), problem.dtype, layout(problem), point.series->cache, held_fixed(problem), problem.threads}].push_back(
          point);
  }
  std::vector<Curve> result;
  for (auto& [key, group] : groups) {
    std::ranges::stable_sort(group, {}, &Point::x);
    if (group.size() > 1) result.push_back(make_curve(group, std::get<0>(key) == Op::softmax));
  }
  return result;
}

}  // namespace metallic::tune
