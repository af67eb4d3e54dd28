// Curves: how two families compare along an axis, with the crossover and its interval, for people to look at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tuner/fit/analysis.h"

namespace metallic::tune {

/// What one line of a chart holds fixed.
std::string held_fixed(const Problem& problem);

/// One curve for each group of series that differ in the axis alone; groups of a single point are left out. `draws` random
/// curves give the intervals of crossovers.
std::vector<Curve> curves(const Measurements& measurements, int draws, uint64_t seed);

}  // namespace metallic::tune
