// SPDX-License-Identifier: Apache-2.0
// A trial: one case made real, with operands before guard pages and the expected result, for any number of kernels to try.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "ops/planner.h"
#include "ops/variant.h"
#include "tuner/verify/cases.h"
#include "tuner/verify/guard_pages.h"
#include "tuner/verify/oracle.h"

namespace metallic::validation {

/// A variant at one of its tuning points on one ISA of this machine.
struct Instance {
  const Variant* variant;
  Tuning tuning;
  DeviceInfo device;
};

/// All of an operation's for the device: on a CPU for every ISA that this machine runs, the widest first. The reference and
/// libraries have none and are there once.
std::vector<Instance> instances(Op op, const DeviceInfo& device);

/// Plans the parts of composed variants with whatever takes them, another candidate each time, so that many compositions are
/// tried whatever the dispatcher would choose.
class AnyPlanner final : public Planner {
 public:
  explicit AnyPlanner(DeviceInfo device, size_t turn = 0) : device_(std::move(device)), turn_(turn) {}
  Result<Plan> plan_part(const Problem& part) override;

 private:
  DeviceInfo device_;
  size_t turn_;
};

/// Runs the tasks of several threads one after the other, the last first: an order that no pool keeps, and quick where the
/// cores are busy.
class BackwardExecutor final : public Executor {
 public:
  explicit BackwardExecutor(int threads) : threads_(threads) {}
  int threads() const override { return threads_; }
  void run(size_t count, Task task, void* context) override {
    while (count-- > 0) task(context, count);
  }

 private:
  int threads_;
};

class Trial {
 public:
  /// Throws std::bad_alloc.
  explicit Trial(Case what);

  /// Runs the instance with the case's threads, then with one, and says what is wrong, or nothing: a result outside its bound, a
  /// byte written beside the result, other bits on one thread. A kernel that reads or writes past an operand or its workspace
  /// dies on a guard page. What a mask hides is NaN. Not for instances that reject the problem.
  std::optional<std::string> run(const Instance& instance, Executor& executor);

  /// Whether the instance takes the case: it does not reject the problem, and nothing in it is what libraries do in their own
  /// way.
  bool concerns(const Instance& instance) const;
  std::string describe(const Instance& instance) const;

 private:
  std::optional<std::string> run_once(const Instance& instance, const Problem& problem, Executor& executor);
  std::optional<std::string> written_beside() const;

  Case case_;
  Guarded in_[3];
  Guarded out_;
  std::vector<std::byte> out_before_;  // absent where the output is too large and sparse
  std::optional<Expectation> expected_;
  size_t turn_ = 0;
};

}  // namespace metallic::validation
