// SPDX-License-Identifier: Apache-2.0
// The planner: how a variant composed of other operations gets their plans, without knowing who decides.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "ops/decision.h"
#include "ops/problem.h"
#include "ops/variant.h"

namespace metallic {

/// A problem, the choice for it, and its kernel. Made once, run often, from any thread.
struct Plan {
  Problem problem;
  Choice choice;
  std::unique_ptr<const Kernel> kernel;
  std::vector<Problem> parts{};  ///< that a composed variant requested from the planner
};

class Planner {
 public:
  virtual ~Planner() = default;

  /// A plan for exactly this problem. If its thread count is 1, it runs on an InlineExecutor, inside a task of the whole problem.
  virtual Result<Plan> plan_part(const Problem& part) = 0;
};

}  // namespace metallic
