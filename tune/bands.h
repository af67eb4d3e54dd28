// Bands: neighbouring values of a second axis that share their rules along the first.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "core/rule.h"
#include "tune/fit.h"

namespace metallic::tune {

struct Band {
  std::vector<Point> points;  ///< sorted by x
  std::vector<Range> within;  ///< the band on the second axis; empty where it is all of it
};

/// The cost of the best rules for the points of a band.
using BandCost = std::function<double(const std::vector<Point>& points)>;

/// Splits points into the bands of least cost, where each further band costs `penalty`. Between two bands the border lies at
/// the geometric mean of their nearest measured values. At least one band, in rising order.
std::vector<Band> split_bands(const std::vector<Point>& points, Axis axis, double penalty, const BandCost& cost);

}  // namespace metallic::tune
