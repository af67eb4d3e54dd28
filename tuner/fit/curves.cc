#include "tuner/fit/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "tuner/fit/crossover.h"
#include "tuner/fit/points.h"
#include "tuner/stats/statistics.h"

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

struct Families {
  Axis axis;
  std::string_view a;  // expected to win at low values
  std::string_view b;
};

Families families(Op op) { return op == Op::softmax ? Families{Axis::seq_k, "vec", "block"} : Families{Axis::n, "gemv", "gemm"}; }

// Blocks fall into folds by turns: as many as there are blocks, where those are few.
constexpr size_t kFolds = 16, kNone = kFolds;

// Median log time over the blocks that are not in a fold.
double log_time(const Arm& arm, size_t without = kNone) {
  std::vector<double> logs;
  for (size_t block = 0; block < arm.time.size(); ++block)
    if (block % kFolds != without) logs.push_back(std::log(arm.time[block]));
  return median(std::move(logs));
}

// The fastest of a family's candidates over the blocks that are not in a fold; null where none was timed there. A candidate
// that was dropped early has too few blocks to be the fastest by anything but luck.
const Arm* fastest(const Series& series, std::string_view wanted, size_t without = kNone) {
  const auto timed = [](const Arm& arm) { return std::ranges::count_if(arm.time, [](double t) { return !std::isnan(t); }); };
  std::ptrdiff_t most = 0;
  for (const Arm& arm : series.arms)
    if (family(arm.choice.variant) == wanted) most = std::max(most, timed(arm));
  const Arm* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const Arm& arm : series.arms)
    if (family(arm.choice.variant) == wanted && 2 * timed(arm) >= most)
      if (const double time = log_time(arm, without); time < least) least = time, best = &arm;
  return best;
}

// log(time_a / time_b) by block: whatever a block's arms share cancels. Each fold compares the candidates that are fastest
// over the other folds: the fastest of many by chance would flatter its family.
std::vector<double> log_ratios(const Series& series, const Families& families) {
  const size_t blocks = series.blocks();
  std::vector<double> ratios(blocks, std::numeric_limits<double>::quiet_NaN());
  for (size_t fold = 0; fold < std::min(blocks, kFolds); ++fold) {
    const size_t without = blocks > 1 ? fold : kNone;
    const Arm *a = fastest(series, families.a, without), *b = fastest(series, families.b, without);
    for (size_t block = fold; a && b && block < blocks; block += kFolds)
      ratios[block] = std::log(a->time[block]) - std::log(b->time[block]);
  }
  std::erase_if(ratios, [](double ratio) { return std::isnan(ratio); });
  return ratios;
}

struct Place {
  int64_t x;
  const Series* series;
  std::vector<double> ratios;
};

Curve make_curve(std::span<const Place> places, const Families& families, int draws, uint64_t seed) {
  const Series& first = *places.front().series;
  Curve curve{.op = first.problem.op(),
              .dtype = first.problem.dtype,
              .threads = first.problem.threads,
              .layout = layout(first.problem),
              .cache = first.cache,
              .axis = families.axis,
              .where = held_fixed(first.problem),
              .family_a = std::string(families.a),
              .family_b = std::string(families.b)};
  std::vector<double> x;
  std::vector<std::vector<double>> values;
  for (const Place& place : places) {
    x.push_back(std::log(static_cast<double>(place.x)));
    values.push_back(place.ratios);
  }
  const std::vector<Height> of_places = heights(x, values);
  for (size_t i = 0; i < places.size(); ++i) {
    const Height& height = of_places[i];
    const double half = margin(height, 0.95);
    const auto time = [&](std::string_view wanted) { return std::exp(log_time(*fastest(*places[i].series, wanted))); };
    curve.points.push_back({.x = places[i].x,
                            .log_ratio = height.mean,
                            .low = height.mean - half,
                            .high = height.mean + half,
                            .time_a = time(families.a),
                            .time_b = time(families.b)});
  }
  if (const auto found = find_crossover(of_places, draws, seed)) {
    curve.crossover = std::exp(found->x);
    if (found->low) curve.crossover_low = std::exp(*found->low);
    if (found->high) curve.crossover_high = std::exp(*found->high);
  }
  return curve;
}

}  // namespace

std::vector<Curve> curves(const Measurements& measurements, int draws, uint64_t seed) {
  std::map<std::tuple<Op, DType, std::string, std::string, std::string, int>, std::vector<Place>> groups;
  for (const Series& series : measurements.series) {
    const Problem& problem = series.problem;
    if (problem.op() == Op::sdpa) continue;  // no two families share its axis yet
    const Families of_op = families(problem.op());
    Place place{.x = *value(problem, of_op.axis), .series = &series, .ratios = log_ratios(series, of_op)};
    if (place.x > 0 && !place.ratios.empty())
      groups[{problem.op(), problem.dtype, layout(problem), series.cache, held_fixed(problem), problem.threads}].push_back(
          std::move(place));
  }
  std::vector<Curve> result;
  for (auto& [key, places] : groups) {
    std::ranges::stable_sort(places, {}, &Place::x);
    const auto repeated = std::ranges::unique(places, {}, &Place::x);
    places.erase(repeated.begin(), repeated.end());
    if (places.size() > 1) result.push_back(make_curve(places, families(std::get<0>(key)), draws, seed + result.size()));
  }
  return result;
}

}  // namespace metallic::tune
