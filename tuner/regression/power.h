// What a gate is worth on a machine: its false alarms and its power, counted on resampled blocks of a build against itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace metallic::tune {

/// A share of `of` trials with its 95 % interval (Clopper–Pearson).
struct Share {
  int count = 0, of = 0;
  double low = 0, high = 1;
};

struct Calibration {
  Share alarms;         ///< gates between equal builds that found something slower
  Share passes;         ///< of the same gates
  Share found;          ///< gates that found the one benchmark that was slowed, each benchmark in turn
  double slowdown = 0;  ///< by how much, a fraction
  struct Benchmark {
    double estimate;         ///< ln ratio of the two processes of one build: what they do not share stays in it
    double sigma;            ///< of a block's ln ratio, from its median absolute deviation
    double autocorrelation;  ///< of successive blocks
    double blocks_needed;    ///< to find the slowdown with 95 % power at the last look
  };
  std::vector<Benchmark> benchmarks;
};

/// `blocks` are ln ratios of two processes of one build, by benchmark, in the order in which they were timed; none is empty. The
/// processes are replaced after each `run` of them. A virtual gate draws whole runs with replacement, so that what neighbours
/// share, and what a process has by itself, stays shared, and a sign for each, since which process is called base is arbitrary;
/// to the slowed benchmark ln(1 + slowdown) is added.
Calibration calibrate(std::span<const std::vector<double>> blocks, size_t run, double tau, double slowdown, int gates,
                      uint64_t seed);

}  // namespace metallic::tune
