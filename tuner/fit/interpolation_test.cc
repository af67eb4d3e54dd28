// SPDX-License-Identifier: Apache-2.0
// Interpolated points follow their neighbours and take their weight from them.
#include "tuner/fit/interpolation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <map>

#include "ops/label.h"
#include "tuner/stats/block_effects.h"

namespace metallic::tune {
namespace {

constexpr int kReplicates = 5;

// Points of measured softmaxes or matmuls. The time of a candidate is a power of x, given with its name.
class Measured {
 public:
  void add(const std::string& text, int64_t x, std::map<std::string, double> powers, double even) {
    Series& series = series_.emplace_back();
    series.problem = *parse_label(text);
    series.label = text;
    series.cache = "warm";
    for (const auto& [variant, power] : powers)
      series.candidates.push_back({{variant, ""}, std::vector<double>(6, 1000 * std::pow(static_cast<double>(x), power))});
    points.push_back({.x = x,
                      .series = &series,
                      .replicates = &replicates_.emplace_back(fit_block_effects(series), kReplicates, 1),
                      .weight = 2 * even,
                      .even = even,
                      .index = points.size(),
                      .group = static_cast<int>(points.size())});
  }
  std::vector<FitPoint> points;

 private:
  std::deque<Series> series_;
  std::deque<Replicates> replicates_;
};

double weight_of(const std::vector<FitPoint>& points) {
  double sum = 0;
  for (const FitPoint& point : points) sum += point.weight;
  return sum;
}

TEST(Interpolation, InterpolatesLogTimesOverTheLogarithmOfX) {
  Measured measured;
  measured.add("rows4_seqk1024", 1024, {{"a", 1}, {"b", 0.5}}, 0.5);
  measured.add("rows4_seqk16384", 16384, {{"a", 1}, {"b", 0.5}}, 0.5);
  auto points = measured.points;
  Interpolation between;
  between.fill(points);
  ASSERT_EQ(points.size(), 2u + 11u) << "three an octave, over four of them";
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(points[i].series, measured.points[i].series) << "real ones in front";
  for (size_t i = 2; i < points.size(); ++i) {
    const FitPoint& point = points[i];
    EXPECT_GT(point.x, i == 2 ? 1024 : points[i - 1].x);
    EXPECT_LT(point.x, 16384);
    EXPECT_EQ(label(point.series->problem), "rows4_seqk" + std::to_string(point.x));
    for (int replicate = 0; replicate < kReplicates; ++replicate)
      for (const size_t candidate : {0, 1})
        EXPECT_NEAR(point.replicates->log_time(replicate, candidate),
                    std::log(1000) + (candidate == 0 ? 1 : 0.5) * std::log(static_cast<double>(point.x)), 1e-3);
    EXPECT_EQ(point.group, 0);
    EXPECT_EQ(point.other_group, 1) << "left out with either neighbour";
  }
}

TEST(Interpolation, TakesItsWeightFromTheEvenPart) {
  Measured measured;
  measured.add("rows4_seqk1024", 1024, {{"a", 1}}, 0.1);
  measured.add("rows4_seqk4096", 4096, {{"a", 1}}, 0.3);
  measured.add("rows4_seqk5000", 5000, {{"a", 1}}, 0.1);  // less than 1.3 times as far: nothing lies between
  auto points = measured.points;
  Interpolation between;
  between.fill(points);
  ASSERT_EQ(points.size(), 3u + 6u);
  EXPECT_NEAR(weight_of(points), weight_of(measured.points), 1e-12);
  EXPECT_NEAR(points[0].weight, 0.2 - 0.05 * 6 / 7, 1e-12);
  EXPECT_NEAR(points[1].weight, 0.6 - 0.15 * 6 / 7, 1e-12);
  EXPECT_EQ(points[2].weight, 0.2);
}

TEST(Interpolation, JoinsOnlyWhatDiffersOnTheAxisAlone) {
  Measured measured;
  measured.add("rows4_seqk1024", 1024, {{"a", 1}, {"b", 1}}, 1);
  measured.add("rows8_seqk4096", 4096, {{"a", 1}, {"b", 1}}, 1);
  measured.add("64x512x1", 1, {{"a", 1}, {"b", 1}}, 1);
  measured.add("512x64x16", 16, {{"a", 1}, {"b", 1}}, 1);
  auto points = measured.points;
  Interpolation between;
  between.fill(points);
  EXPECT_EQ(points.size(), 4u);
  measured.add("64x512x16", 16, {{"b", 1}, {"c", 1}}, 1);
  points = measured.points;
  between.fill(points);
  ASSERT_GT(points.size(), 5u + 3u);
  for (size_t i = 5; i < points.size(); ++i) {
    ASSERT_EQ(points[i].series->candidates.size(), 1u) << "what both ends have";
    EXPECT_EQ(points[i].series->candidates[0].config.variant, "b");
    EXPECT_EQ(label(points[i].series->problem), "64x512x" + std::to_string(points[i].x));
  }
}

}  // namespace
}  // namespace metallic::tune
