// SPDX-License-Identifier: Apache-2.0
// Curves: how two kernel families compare along an axis, with the crossover and its interval. The report draws them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tuner/fit/analysis.h"

namespace metallic::tune {

/// The part of a shape that one line of a chart holds fixed, as text.
std::string held_fixed(const Problem& problem);

/// One curve for each group of two or more series that differ only on the axis. `draws` random curves give the interval of each
/// crossover.
std::vector<Curve> curves(const Measurements& measurements, int draws, uint64_t seed);

}  // namespace metallic::tune
