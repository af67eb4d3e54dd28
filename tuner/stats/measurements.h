// Measurements: samples grouped by what was timed together, the form that all analysis works on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ops/problem.h"
#include "profile/rule.h"
#include "tuner/io/records.h"

namespace metallic::tune {

/// A candidate: a variant at a tuning point, by name.
struct Choice {
  std::string variant;
  std::string tuning;
  auto operator<=>(const Choice&) const = default;
};

std::string to_string(const Choice& choice);

/// The times of one candidate, one for each block of its series, in ns; NaN where the block lacks it.
struct Arm {
  Choice choice;
  std::vector<double> time;
};

/// One problem in one cache state: candidates × blocks.
struct Series {
  Problem problem;
  std::string label;
  std::string cache;  ///< cold, warm or unknown
  double weight = 1;
  std::vector<Arm> arms;          ///< sorted by choice
  std::vector<double> at_s = {};  ///< when each block began, in seconds since the run did; none where nobody noted it

  size_t blocks() const { return arms.empty() ? 0 : arms.front().time.size(); }
  const Arm* find(const Choice& choice) const;
};

struct Measurements {
  bool paired = true;              ///< false where the blocks are repetitions that were not timed together
  std::string device = "unknown";  ///< the fingerprint in the rows
  std::string build = "unknown";
  std::vector<Series> series;  ///< in the order of first appearance
  int64_t timed = 0;           ///< rows that went in
};

/// Groups rows. Refuses unknown labels and dtypes, times that are not finite and positive, and rows of several devices.
/// Pseudo-variants `auto` and `noop` are passed over, variants of the family "reference" too. Duplicate arms of a block are an
/// error. `unknown_threads` is the thread count of rows that do not tell theirs.
Result<Measurements> from_samples(std::span<const SampleRow> rows, std::string_view where, int unknown_threads);
Result<Measurements> from_results(std::span<const ResultRow> rows, std::string_view where, int unknown_threads);

}  // namespace metallic::tune
