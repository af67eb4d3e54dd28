// A gate's result for people and for programs: a table, Markdown, JSON and JUnit's XML.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "tuner/regression/gate.h"
#include "tuner/regression/recorded_samples.h"

namespace metallic::cli {

struct GateResult {
  std::string base, head;              ///< paths
  std::string base_build, head_build;  ///< as they name themselves
  double tau = 0;
  std::vector<tune::GateBenchmark> benchmarks;
  std::vector<tune::Assessment> assessments;  ///< of each
  tune::GateVerdict verdict = tune::GateVerdict::inconclusive;
  std::vector<std::string> notes;  ///< what a reader must know to weigh the verdict, a line each
};

std::string table(const GateResult& result);
std::string markdown(const GateResult& result);
Json json(const GateResult& result);
/// A test case for each benchmark: slower is a failure, undecided is skipped.
std::string junit(const GateResult& result);

}  // namespace metallic::cli
