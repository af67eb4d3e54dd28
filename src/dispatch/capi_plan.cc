// SPDX-License-Identifier: Apache-2.0
// Plans in the C interface: created or acquired, run, explained.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "device/cpu/thread_workspace.h"
#include "device/cuda/cuda_devices.h"
#include "device/cuda/device_scope.h"
#include "dispatch/capi_boundary.h"
#include "dispatch/capi_handles.h"
#include "dispatch/decision_json.h"
#include "ops/operation.h"

metallic_plan::metallic_plan(metallic::Shared& shared, metallic::Plan made, const metallic::CallOptions& call)
    : owner(shared),
      plan(std::move(made)),
      options(call),
      operand_bytes(metallic::operand_bytes(plan.problem)),
      workspace(plan.kernel->workspace()),
      candidate(to_string(*plan.choice.variant, *plan.choice.tuning)) {}

namespace metallic {
namespace {

// Calls body with the caller's problem, copied only if its struct is of another version.
template <typename Body>
Status with_problem(const metallic_problem* problem, const Body& body) {
  if (problem && problem->struct_size == sizeof(metallic_problem)) return body(*problem);
  METALLIC_TRY(metallic_problem given, known_part(problem, "problem"));
  return body(given);
}

Result<std::unique_ptr<metallic_plan>> make_plan(Shared& shared, const Problem& problem, const CallOptions& options) {
  const cuda::DeviceScope scope(shared.gpu);
  METALLIC_TRY(Plan made, shared.context->plan(problem, options));
  return std::make_unique<metallic_plan>(shared, std::move(made), options);
}

Result<metallic_plan*> create(metallic_context& context, const metallic_problem& given, const CallOptions& options) {
  METALLIC_TRY(const Problem problem, to_problem(given));
  METALLIC_TRY(auto made, make_plan(*context.shared, problem, options));
  made->keeps_owner = context.shared;
  return made.release();
}

// Of a problem that is not cached. If all places that it could have are held, the caller gets a plan of its own.
Result<metallic_plan*> make_cached(metallic_context& context, const CKey& key, const metallic_problem& given) {
  Shared& shared = *context.shared;
  const cuda::DeviceScope scope(shared.gpu);  // also for the plan that this one replaces
  METALLIC_TRY(const Problem problem, to_problem(given));
  METALLIC_TRY(auto made, make_plan(shared, problem, shared.context->call_options()));
  metallic_plan* const plan = made.get();
  auto* const place = shared.plans.insert(key, made, [](metallic_plan& cached, auto& its) { cached.place = &its; });
  if (place) return &place->value();
  plan->keeps_owner = context.shared;
  return made.release();
}

void give_back(metallic_plan* plan) {
  if (!plan) return;
  if (plan->place) return PlanCache<CKey, metallic_plan>::release(*plan->place);
  at_boundary([&]() -> Status {
    const cuda::DeviceScope scope(plan->owner.gpu);
    delete plan;
    return {};
  });
}

Result<CallOptions> to_call_options(const metallic_context& context, const metallic_plan_options* given) {
  METALLIC_TRY(const metallic_plan_options wanted, known_part(given, "options"));
  CallOptions options = context.shared->context->call_options();
  if (wanted.candidate) options.variant = wanted.candidate;
  METALLIC_TRY(const auto numerics, to_numerics(wanted.numerics, "options->numerics"));
  if (numerics) options.numerics = numerics;
  return options;
}

Status check_operand(const void* pointer, int64_t bytes, std::string_view what) {
  if (!pointer && bytes > 0) return fail(Code::invalid_argument, "{} is NULL, {} bytes are needed", what, bytes);
  return {};
}

Status check_overlap(const metallic_plan& plan, const metallic_tensors& tensors) {
  const auto [a, b, c, out] = plan.operand_bytes;
  const Problem& problem = plan.plan.problem;
  if (out <= 0) return {};
  if (tensors.out == tensors.a && problem.op()->check_in_place) return problem.op()->check_in_place(problem);
  if ((a > 0 && tensors.out == tensors.a) || (b > 0 && tensors.out == tensors.b) || (c > 0 && tensors.out == tensors.c))
    return fail(Code::invalid_argument, "tensors->out is an input: {} cannot run in place", name(problem.op()));
  return {};
}

Status check_workspace(const metallic_plan& plan, const void* workspace, size_t bytes) {
  if (!workspace) return fail(Code::invalid_argument, "workspace is NULL, {} bytes are needed", plan.workspace);
  if (bytes < plan.workspace) return fail(Code::invalid_argument, "workspace_bytes is {}, {} are needed", bytes, plan.workspace);
  if (reinterpret_cast<uintptr_t>(workspace) % 64 != 0)
    return fail(Code::invalid_argument, "workspace is not aligned to 64 bytes");
  return {};
}

Status run_kernel(const metallic_plan& plan, const metallic_tensors& tensors, std::byte* workspace, Executor& executor) {
  const Args args{.in = {tensors.a, tensors.b, tensors.c}, .out = tensors.out};
  const Code code = plan.plan.kernel->run(args, workspace, executor);
  if (code != Code::ok) return fail(code, "{} failed: {}", plan.plan.choice.variant->name, name(code));
  return {};
}

Status run(const metallic_plan* plan, const metallic_tensors* given, void* workspace, size_t workspace_bytes,
           Executor* elsewhere) {
  METALLIC_CHECK(need(plan, "plan"));
  METALLIC_TRY(const metallic_tensors tensors, known_part(given, "tensors"));
  METALLIC_CHECK(check_operand(tensors.a, plan->operand_bytes[0], "tensors->a"));
  METALLIC_CHECK(check_operand(tensors.b, plan->operand_bytes[1], "tensors->b"));
  METALLIC_CHECK(check_operand(tensors.c, plan->operand_bytes[2], "tensors->c"));
  METALLIC_CHECK(check_operand(tensors.out, plan->operand_bytes[kOut], "tensors->out"));
  METALLIC_CHECK(check_overlap(*plan, tensors));
  const bool own_workspace = plan->workspace > 0 && !workspace && workspace_bytes == 0;
  if (plan->workspace > 0 && !own_workspace) {
    METALLIC_CHECK(check_workspace(*plan, workspace, workspace_bytes));
  }
  if (plan->operand_bytes[kOut] == 0) return {};  // nothing to write, perhaps at a NULL that memset must not see
  Executor& executor = elsewhere ? *elsewhere : plan->owner.context->executor();
  const cuda::DeviceScope scope(plan->owner.gpu);
  if (!own_workspace) return run_kernel(*plan, tensors, static_cast<std::byte*>(workspace), executor);
  if (executor.stream()) {
    METALLIC_TRY(const auto scratch, plan->owner.workspaces.take(executor.stream(), plan->workspace));
    return run_kernel(*plan, tensors, scratch.data, executor);
  }
  const cpu::ThreadWorkspace scratch(plan->workspace);
  return run_kernel(*plan, tensors, scratch.data(), executor);
}

Status run_with(const metallic_plan* plan, const metallic_tensors* tensors, const metallic_run_options* given) {
  METALLIC_CHECK(need(plan, "plan"));
  if (!given) return run(plan, tensors, nullptr, 0, nullptr);
  METALLIC_TRY(const metallic_run_options options, known_part(given, "options"));
  const bool on_gpu = plan->owner.gpu >= 0;
  if (options.stream && !on_gpu) return fail(Code::invalid_argument, "options->stream is set, and the plan runs on the CPU");
  if (options.executor && on_gpu) return fail(Code::invalid_argument, "options->executor is set, and the plan runs on a GPU");
  if (options.stream) {
    cuda::BorrowedStream stream(options.stream);
    return run(plan, tensors, options.workspace, options.workspace_bytes, &stream);
  }
  if (options.executor) {
    METALLIC_TRY(CallbackExecutor executor, to_executor(options.executor, "options->executor"));
    return run(plan, tensors, options.workspace, options.workspace_bytes, &executor);
  }
  return run(plan, tensors, options.workspace, options.workspace_bytes, nullptr);
}

Result<const char*> explanation(const metallic_plan& plan) {
  const std::lock_guard lock(plan.explaining);
  if (plan.explanation.empty()) {
    const Context& context = *plan.owner.context;
    METALLIC_TRY(const Decision decision, context.explain(plan.plan, plan.options));
    // A profile's path may hold bytes that are not UTF-8; they must not make the call fail.
    plan.explanation = to_json(decision, context.device()).dump(2, ' ', false, Json::error_handler_t::replace);
  }
  return plan.explanation.c_str();
}

Status list_candidates(Context& context, const Problem& problem, void (*each)(void*, const metallic_candidate*), void* user) {
  METALLIC_TRY(const Decision decision, context.decide(problem));
  for (const Candidate& candidate : decision.candidates) {
    const std::string text = to_string(*candidate.variant, candidate.tuning);
    const metallic_candidate passed{.struct_size = sizeof(metallic_candidate),
                                    .candidate = text.c_str(),
                                    .rejected = candidate.rejected.empty() ? nullptr : candidate.rejected.c_str(),
                                    .possible = candidate.possible};
    each(user, &passed);
  }
  return {};
}

}  // namespace
}  // namespace metallic

using namespace metallic;

extern "C" {

metallic_status metallic_plan_create(metallic_context* context, const metallic_problem* problem, metallic_plan** plan) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(plan, "plan"));
    *plan = nullptr;
    METALLIC_CHECK(need(context, "context"));
    return with_problem(problem, [&](const metallic_problem& wanted) -> Status {
      METALLIC_TRY(*plan, create(*context, wanted, context->shared->context->call_options()));
      return {};
    });
  });
}

metallic_status metallic_plan_create_with(metallic_context* context, const metallic_problem* problem,
                                          const metallic_plan_options* options, metallic_plan** plan) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(plan, "plan"));
    *plan = nullptr;
    METALLIC_CHECK(need(context, "context"));
    METALLIC_TRY(const CallOptions call, to_call_options(*context, options));
    return with_problem(problem, [&](const metallic_problem& wanted) -> Status {
      METALLIC_TRY(*plan, create(*context, wanted, call));
      return {};
    });
  });
}

metallic_status metallic_plan_acquire(metallic_context* context, const metallic_problem* problem, metallic_plan** plan) {
  return at_integer_boundary([&]() -> Status {
    METALLIC_CHECK(need(plan, "plan"));
    *plan = nullptr;
    METALLIC_CHECK(need(context, "context"));
    return with_problem(problem, [&](const metallic_problem& wanted) -> Status {
      METALLIC_TRY(const Op op, to_operation(wanted));
      const CKey key = op->c_key(wanted);
      if (auto* const place = context->shared->plans.acquire(key)) {
        *plan = &place->value();
        return {};
      }
      const DefaultFloatState state;
      METALLIC_TRY(*plan, make_cached(*context, key, wanted));
      return {};
    });
  });
}

void metallic_plan_destroy(metallic_plan* plan) { give_back(plan); }
void metallic_plan_release(metallic_plan* plan) { give_back(plan); }

metallic_status metallic_plan_workspace(const metallic_plan* plan, size_t* bytes) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(plan, "plan"));
    METALLIC_CHECK(need(bytes, "bytes"));
    *bytes = plan->workspace;
    return {};
  });
}

metallic_status metallic_plan_candidate(const metallic_plan* plan, const char** candidate) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(plan, "plan"));
    METALLIC_CHECK(need(candidate, "candidate"));
    *candidate = plan->candidate.c_str();
    return {};
  });
}

metallic_status metallic_candidates(metallic_context* context, const metallic_problem* problem,
                                    void (*each)(void* user, const metallic_candidate* candidate), void* user) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(context, "context"));
    METALLIC_CHECK(need(reinterpret_cast<const void*>(each), "each"));
    return with_problem(problem, [&](const metallic_problem& given) -> Status {
      METALLIC_TRY(const Problem wanted, to_problem(given));
      return list_candidates(*context->shared->context, wanted, each, user);
    });
  });
}

metallic_status metallic_plan_run(const metallic_plan* plan, const metallic_tensors* tensors, void* workspace,
                                  size_t workspace_bytes) {
  return at_boundary([&] { return run(plan, tensors, workspace, workspace_bytes, nullptr); });
}

metallic_status metallic_plan_run_with(const metallic_plan* plan, const metallic_tensors* tensors,
                                       const metallic_run_options* options) {
  return at_boundary([&] { return run_with(plan, tensors, options); });
}

metallic_status metallic_plan_explain(const metallic_plan* plan, const char** json) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(plan, "plan"));
    METALLIC_CHECK(need(json, "json"));
    METALLIC_TRY(*json, explanation(*plan));
    return {};
  });
}

}  // extern "C"
