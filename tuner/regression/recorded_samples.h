// Recorded samples as the gate's evidence: two files, paired benchmark by benchmark and block by block.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tuner/io/records.h"

namespace metallic::tune {

/// What was timed: a kernel on a problem in a cache state.
struct GateBenchmark {
  std::string label, dtype, cache, variant, tuning;
  int64_t threads = 0;  ///< 0: unknown
  auto operator<=>(const GateBenchmark&) const = default;
};

/// On one line, e.g. `1x4096x4096_tb bf16 cold cpu_gemv@unroll=4`.
std::string to_string(const GateBenchmark& benchmark);

struct Recording {
  std::string device = "unknown";  ///< the fingerprint in the rows
  std::string build = "unknown";
  std::map<GateBenchmark, std::vector<std::pair<int64_t, double>>> times;  ///< block and ns, sorted by block
};

/// Reads samples.csv. Refuses unknown labels and types, times that are not positive, rows of several devices, a block that has a
/// benchmark twice, and more than 10,000 benchmarks.
Result<Recording> read_recording(std::string_view text, std::string_view where);

struct Pairing {
  std::vector<GateBenchmark> benchmarks;         ///< that both files have
  std::vector<std::vector<double>> differences;  ///< of each, ln(t_head / t_base) by block
  std::vector<std::string> notes;                ///< what has no partner or is not known, a line each
};

/// Pairs the first block of one file with the first of the other, and so on. Beyond 1024 blocks, as many successive ones are made
/// one by their median. Two known devices are an error.
Result<Pairing> pair_recordings(const Recording& base, const Recording& head);

}  // namespace metallic::tune
