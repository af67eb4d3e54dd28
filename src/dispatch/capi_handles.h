// SPDX-License-Identifier: Apache-2.0
// The handles of the C interface, and what they own.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/executor.h"
#include "base/process.h"
#include "device/cuda/stream_workspaces.h"
#include "dispatch/context.h"
#include "dispatch/plan_cache.h"
#include "metallic/metallic.h"
#include "ops/c_key.h"

namespace metallic {

/// Runs the tasks of a plan through the caller's function.
class CallbackExecutor final : public Executor {
 public:
  explicit CallbackExecutor(const metallic_executor& callback) : callback_(callback) {}
  int threads() const override { return callback_.threads; }
  void run(size_t count, Task task, void* context) override { callback_.parallel(callback_.user, count, task, context); }

 private:
  metallic_executor callback_;
};

/// The caller's executor, checked. `what` names it in errors.
Result<CallbackExecutor> to_executor(const metallic_executor* given, std::string_view what);

/// 0 (METALLIC_NUMERICS_DEFAULT) is nothing. `what` names the member in errors.
Result<std::optional<Numerics>> to_numerics(const metallic_numerics& given, std::string_view what);

Result<Problem> to_problem(const metallic_problem& given);

/// The operation of a problem. Errors: there is none of that number.
Result<Op> to_operation(const metallic_problem& given);

/// What a context and the plans that callers created own together: a plan can run after its context's handle is destroyed.
struct Shared {
  int gpu = -1;                                // its CUDA device, or -1
  std::unique_ptr<CallbackExecutor> executor;  // null if the context has its own; outlives the context below
  std::unique_ptr<Context> context;
  cuda::StreamWorkspaces workspaces;
  PlanCache<CKey, metallic_plan> plans;
};

}  // namespace metallic

struct metallic_context {
  std::shared_ptr<metallic::Shared> shared;
};

struct metallic_plan {
  metallic_plan(metallic::Shared& shared, metallic::Plan made, const metallic::CallOptions& call);

  metallic::Shared& owner;
  std::shared_ptr<metallic::Shared> keeps_owner;                               // null in a cached plan, which its owner owns
  metallic::PlanCache<metallic::CKey, metallic_plan>::Place* place = nullptr;  // of a cached plan
  metallic::Plan plan;
  metallic::CallOptions options;
  metallic::OperandBytes operand_bytes;
  size_t workspace;
  std::string candidate;
  mutable metallic::ForkSafeMutex explaining;
  mutable std::string explanation;  // empty until it is asked for
};
