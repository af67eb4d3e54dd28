// SPDX-License-Identifier: Apache-2.0
// Formats of the result of a gate: table, Markdown, JSON and JUnit XML.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "tuner/regression/gate.h"
#include "tuner/regression/recorded_samples.h"

namespace metallic::cli {

struct GateResult {
  std::string base, head;              ///< paths
  std::string base_build, head_build;  ///< their --version
  double tau = 0;
  std::vector<tune::GateBenchmark> benchmarks;
  std::vector<tune::Assessment> assessments;  ///< by benchmark
  tune::GateVerdict verdict = tune::GateVerdict::inconclusive;
  std::vector<std::string> notes;  ///< caveats for the reader, one line each
};

std::string table(const GateResult& result);
std::string markdown(const GateResult& result);
Json json(const GateResult& result);
/// One test case for each benchmark: slower is a failure, undecided is skipped.
std::string junit(const GateResult& result);

}  // namespace metallic::cli
