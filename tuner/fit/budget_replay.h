// The course of a run: its blocks played again through the allocation, to show where samples went and what they bought.
#pragma once

#include <cstddef>
#include <vector>

#include "tuner/stats/measurements.h"

namespace metallic::tune {

struct Course {
  struct Moment {
    double at_s;               ///< since the run began
    size_t blocks;             ///< begun by then
    double expected_residual;  ///< what the candidates that looked best then would lose on average, see allocation.h
  };
  /// A series' part of the expected residual, a fraction; the sum over series is that of the run.
  struct Part {
    double screened;  ///< after its first two blocks, when the allocation began to choose
    double last;
  };
  std::vector<Moment> moments;
  std::vector<Part> parts;  ///< one a series
};

/// `moments` evenly spaced moments up to the last block. Nothing where the samples do not tell when their blocks were timed.
Course course(const Measurements& measurements, size_t moments = 12);

}  // namespace metallic::tune
