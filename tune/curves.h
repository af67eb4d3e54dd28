// Curves: how two families compare along an axis, with the crossover and its interval, for people to look at.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tune/analysis.h"
#include "tune/points.h"

namespace metallic::tune {

/// What one line of a chart holds fixed.
std::string held_fixed(const Problem& problem);

/// One curve for each group of points that differ in the axis alone; groups of a single point are left out.
std::vector<Curve> curves(std::span<const Point> points);

}  // namespace metallic::tune
