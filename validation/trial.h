// A trial: one case made real, with operands before guard pages and the expected result, for any number of kernels to try.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/executor.h"
#include "core/planner.h"
#include "core/variant.h"
#include "kernels/oracle.h"
#include "validation/cases.h"
#include "validation/guarded.h"

namespace metallic::validation {

/// A variant at one of its tuning points on one ISA of this machine.
struct Instance {
  const Variant* variant;
  Tuning tuning;
  DeviceFacts facts;
};

/// All of an operation's, for every ISA that this machine runs: the widest first. The reference has no ISA and is there once.
std::vector<Instance> instances(Op op, const DeviceFacts& facts);

/// Plans the parts of composed variants with whatever takes them, another candidate each time, so that many compositions are
/// tried whatever the dispatcher would choose.
class AnyPlanner final : public Planner {
 public:
  explicit AnyPlanner(DeviceFacts facts, size_t turn = 0) : facts_(std::move(facts)), turn_(turn) {}
  Result<Plan> plan_part(const Problem& part) override;

 private:
  DeviceFacts facts_;
  size_t turn_;
};

class Trial {
 public:
  /// Throws std::bad_alloc.
  explicit Trial(Case what);

  /// Prepares the instance's kernel, runs it twice and says what is wrong, or nothing: a result outside its bound, a byte
  /// written beside the result or past the workspace, other bits the second time. A kernel that reads or writes past an
  /// operand dies on a guard page. Not for instances that reject the problem.
  std::optional<std::string> run(const Instance& instance, Executor& executor);

  const Problem& problem() const { return case_.problem; }
  std::string describe(const Instance& instance) const;

 private:
  std::optional<std::string> written_beside() const;

  Case case_;
  Guarded in_[3];
  Guarded out_;
  std::vector<std::byte> out_before_;  // absent where the output is too large and sparse
  std::optional<Expectation> expected_;
  size_t turn_ = 0;
};

}  // namespace metallic::validation
