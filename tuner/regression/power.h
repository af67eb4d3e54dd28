// SPDX-License-Identifier: Apache-2.0
// Calibration of the gate on a machine: its false alarms and its power, counted on resampled blocks of a build against itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace metallic::tune {

/// A number of `of` trials, with the 95 % interval of its probability (Clopper–Pearson).
struct Proportion {
  int count = 0, of = 0;
  double low = 0, high = 1;
};

struct Calibration {
  Proportion alarms;    ///< gates between equal builds that found something slower
  Proportion passes;    ///< of the same gates
  Proportion found;     ///< gates that found the slowed benchmark, each benchmark in turn
  double slowdown = 0;  ///< of that benchmark, a fraction
  struct Benchmark {
    double estimate;         ///< ln ratio of the two processes, which are of one build
    double sigma;            ///< of a block's ln ratio, from the median absolute deviation
    double autocorrelation;  ///< of successive blocks
    double blocks_needed;    ///< to find the slowdown with 95 % power at the last look
  };
  std::vector<Benchmark> benchmarks;
};

/// `blocks` are ln ratios of two processes of one build, by benchmark, in the order of timing, none empty. The processes are
/// replaced after each `run` of blocks. A virtual gate draws whole runs with replacement: neighbouring blocks, and what a process
/// has by itself, stay together. It draws a sign for each run, because the process called base is arbitrary. The slowed benchmark
/// gets ln(1 + slowdown) on top.
Calibration calibrate(std::span<const std::vector<double>> blocks, size_t run, double tau, double slowdown, int gates,
                      uint64_t seed);

}  // namespace metallic::tune
