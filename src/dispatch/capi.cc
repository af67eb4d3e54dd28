// SPDX-License-Identifier: Apache-2.0
// The C interface: handles around a context and its plans, errors as statuses. No exception crosses the boundary.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/ranges.h>

#include "device/cuda/cuda_devices.h"
#include "dispatch/context.h"
#include "dispatch/decision_json.h"
#include "metallic/metallic.h"
#include "ops/label.h"
#include "ops/matmul/pack_weights.h"
#include "ops/matmul/packed.h"
#include "ops/matmul/shape.h"
#include "ops/operation.h"
#include "ops/registry.h"

namespace metallic {
namespace {

// Runs the tasks of a plan with the caller's function.
class CallbackExecutor final : public Executor {
 public:
  explicit CallbackExecutor(const metallic_executor& callback) : callback_(callback) {}
  int threads() const override { return callback_.threads; }
  void run(size_t count, Task task, void* context) override { callback_.parallel(callback_.user, count, task, context); }

 private:
  metallic_executor callback_;
};

// Owned jointly by a context and its plans: a plan can run after its context's handle is destroyed.
struct Shared {
  std::unique_ptr<CallbackExecutor> executor;  // null if the context has its own; outlives the context below
  std::unique_ptr<Context> context;
};

}  // namespace
}  // namespace metallic

struct metallic_context {
  std::shared_ptr<metallic::Shared> shared;
};

struct metallic_plan {
  std::shared_ptr<metallic::Shared> shared;
  metallic::Plan plan;
  std::array<int64_t, 4> operand_bytes;
  size_t workspace;
  std::string explanation;
};

namespace metallic {
namespace {

static_assert(static_cast<int>(Code::invalid_argument) == METALLIC_INVALID_ARGUMENT);
static_assert(static_cast<int>(Code::not_found) == METALLIC_NOT_FOUND);
static_assert(static_cast<int>(Code::unsupported) == METALLIC_UNSUPPORTED);
static_assert(static_cast<int>(Code::out_of_memory) == METALLIC_OUT_OF_MEMORY);
static_assert(static_cast<int>(Code::io) == METALLIC_IO);
static_assert(static_cast<int>(Code::internal) == METALLIC_INTERNAL);

// An array rather than a string: reporting "out of memory" must not allocate.
thread_local std::array<char, 1024> last_error{};

metallic_status remember(Code code, std::string_view message) {
  const size_t length = std::min(message.size(), last_error.size() - 1);
  std::transform(message.begin(), message.begin() + length, last_error.begin(), [](char c) { return c == '\n' ? ' ' : c; });
  last_error[length] = '\0';
  return static_cast<metallic_status>(code);
}

// Wraps every entry point: converts its Status, or whatever it throws, to a metallic_status.
template <typename Body>
metallic_status at_boundary(const Body& body) noexcept {
  try {
    const Status status = body();
    return status ? METALLIC_OK : remember(status.error().code, status.error().message);
  } catch (const std::bad_alloc&) {
    return remember(Code::out_of_memory, "out of memory");
  } catch (const std::length_error&) {  // a container would exceed its maximum size
    return remember(Code::out_of_memory, "out of memory");
  } catch (const std::exception& error) {
    return remember(Code::internal, error.what());
  } catch (...) {
    return remember(Code::internal, "an exception of unknown type");
  }
}

Status need(const void* pointer, std::string_view what) {
  if (!pointer) return fail(Code::invalid_argument, "{} is NULL", what);
  return {};
}

// A struct's name, and the end of the last member of its first version. No header ever had a smaller one, so a smaller
// struct_size is a mistake, such as the size of a pointer.
template <typename T>
struct FirstVersion;
#define METALLIC_FIRST_VERSION(type, last)                                     \
  template <>                                                                  \
  struct FirstVersion<type> {                                                  \
    static constexpr std::string_view kName = #type;                           \
    static constexpr size_t kSize = offsetof(type, last) + sizeof(type::last); \
  }
METALLIC_FIRST_VERSION(metallic_executor, parallel);
METALLIC_FIRST_VERSION(metallic_context_options, log_user);
METALLIC_FIRST_VERSION(metallic_problem, out_strides);
METALLIC_FIRST_VERSION(metallic_tensors, out);
#undef METALLIC_FIRST_VERSION

template <typename T>
Result<size_t> struct_size(const T* given, std::string_view what) {
  METALLIC_CHECK(need(given, what));
  if (given->struct_size < FirstVersion<T>::kSize)
    return fail(Code::invalid_argument, "{}->struct_size is {}: set it to sizeof({}), here {}", what, given->struct_size,
                FirstVersion<T>::kName, sizeof(T));
  return given->struct_size;
}

// The caller's struct as this version knows it: members that the caller's version lacks are 0.
template <typename T>
Result<T> known_part(const T* given, std::string_view what) {
  METALLIC_TRY(const size_t size, struct_size(given, what));
  T known{};
  std::memcpy(&known, given, std::min(size, sizeof(T)));
  return known;
}

// An enumerator as C stores it. C may store any number, which C++ must not read as the enum.
template <typename Enum>
int stored(const Enum& value) {
  int number = 0;
  static_assert(sizeof(Enum) == sizeof(int));
  std::memcpy(&number, &value, sizeof(int));
  return number;
}

Result<DType> to_dtype(const metallic_dtype& given, DType otherwise, std::string_view what) {
  switch (stored(given)) {
    case METALLIC_DTYPE_DEFAULT: return otherwise;
    case METALLIC_F32: return DType::f32;
    case METALLIC_F16: return DType::f16;
    case METALLIC_BF16: return DType::bf16;
    default:
      return fail(Code::invalid_argument, "problem->{} is {}: use METALLIC_F32 (1), METALLIC_F16 (2) or METALLIC_BF16 (3)", what,
                  stored(given));
  }
}

// "METALLIC_SOFTMAX (0)"
std::string c_name(Op op) {
  std::string text = fmt::format("METALLIC_{} ({})", op->name, op->order);
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

Result<Problem> to_problem(const metallic_problem& given) {
  const int number = stored(given.op);
  std::vector<std::string> allowed;
  for (const Op op : operations()) {
    if (!op->from_c) continue;
    if (op->order == number) {
      Problem problem = op->from_c(given);
      METALLIC_TRY(problem.dtype, to_dtype(given.dtype, DType::f32, "dtype"));
      METALLIC_TRY(problem.out_dtype, to_dtype(given.out_dtype, problem.dtype, "out_dtype"));
      return problem;
    }
    allowed.push_back(c_name(op));
  }
  const std::string last = std::move(allowed.back());
  allowed.pop_back();
  return fail(Code::invalid_argument, "problem->op is {}: use {} or {}", number, fmt::join(allowed, ", "), last);
}

// The inverse of to_problem for a label's problem, whose strides are contiguous and stay 0.
Result<metallic_problem> from_problem(const Problem& problem) {
  if (!problem.op()->to_c)
    return fail(Code::unsupported, "label {} is of {}, which the C interface does not have", label(problem), name(problem.op()));
  const metallic_problem filled = problem.op()->to_c(problem);
  // In C, a batch of 0 counts as 1: that must not change the problem.
  if (filled.batch == 0 && problem.op()->from_c(filled).shape != problem.shape)
    return fail(Code::invalid_argument, "label {} has batch 0, which here counts as 1: use 1 or more", label(problem));
  return filled;
}

Result<std::optional<Numerics>> to_numerics(const metallic_numerics& given) {
  switch (stored(given)) {
    case METALLIC_NUMERICS_DEFAULT: return std::nullopt;
    case METALLIC_FAST: return Numerics::fast;
    case METALLIC_RUN_TO_RUN: return Numerics::run_to_run;
    case METALLIC_BATCH_INVARIANT: return Numerics::batch_invariant;
    default:
      return fail(Code::invalid_argument,
                  "options->numerics is {}: use METALLIC_FAST (1), METALLIC_RUN_TO_RUN (2) or METALLIC_BATCH_INVARIANT (3)",
                  stored(given));
  }
}

Result<std::unique_ptr<CallbackExecutor>> make_executor(const metallic_executor* given) {
  METALLIC_TRY(const metallic_executor executor, known_part(given, "options->executor"));
  METALLIC_CHECK(need(reinterpret_cast<const void*>(executor.parallel), "options->executor->parallel"));
  if (executor.threads < 1 || executor.threads > 1024)
    return fail(Code::invalid_argument, "options->executor->threads is {}: use 1 to 1024", executor.threads);
  return std::make_unique<CallbackExecutor>(executor);
}

Result<std::shared_ptr<Shared>> make_shared_context(const metallic_context_options* given) {
  metallic_context_options wanted{};
  if (given) {
    METALLIC_TRY(wanted, known_part(given, "options"));
  }
  auto shared = std::make_shared<Shared>();
  ContextOptions options;
  if (wanted.model) options.model = wanted.model;
  if (wanted.profile) options.profile = wanted.profile;
  options.threads = wanted.threads;
  if (wanted.device) options.device = wanted.device;
  options.stream = wanted.stream;
  METALLIC_TRY(options.call.numerics, to_numerics(wanted.numerics));
  if (wanted.executor) {
    METALLIC_TRY(shared->executor, make_executor(wanted.executor));
    options.executor = shared->executor.get();
  }
  if (wanted.log)
    options.log = [log = wanted.log, user = wanted.log_user](std::string_view level, std::string_view text) {
      log(user, std::string(level).c_str(), std::string(text).c_str());
    };
  METALLIC_TRY(shared->context, Context::create(std::move(options)));
  return shared;
}

Status check_operand(const void* pointer, int64_t bytes, std::string_view what) {
  if (!pointer && bytes > 0) return fail(Code::invalid_argument, "{} is NULL, {} bytes are needed", what, bytes);
  return {};
}

Status check_overlap(const metallic_plan& plan, const metallic_tensors& tensors) {
  const auto [a, b, c, out] = plan.operand_bytes;
  const Problem& problem = plan.plan.decision.problem;
  if (out <= 0) return {};
  if (tensors.out == tensors.a && problem.op()->check_in_place) return problem.op()->check_in_place(problem);
  if ((a > 0 && tensors.out == tensors.a) || (b > 0 && tensors.out == tensors.b) || (c > 0 && tensors.out == tensors.c))
    return fail(Code::invalid_argument, "tensors->out is an input: {} cannot run in place", name(problem.op()));
  return {};
}

Status check_workspace(const metallic_plan& plan, const void* workspace, size_t bytes) {
  if (plan.workspace == 0) return {};
  if (!workspace) return fail(Code::invalid_argument, "workspace is NULL, {} bytes are needed", plan.workspace);
  if (bytes < plan.workspace) return fail(Code::invalid_argument, "workspace_bytes is {}, {} are needed", bytes, plan.workspace);
  if (reinterpret_cast<uintptr_t>(workspace) % 64 != 0)
    return fail(Code::invalid_argument, "workspace is not aligned to 64 bytes");
  return {};
}

Status run(const metallic_plan* plan, const metallic_tensors* given, void* workspace, size_t workspace_bytes) {
  METALLIC_CHECK(need(plan, "plan"));
  METALLIC_TRY(const metallic_tensors tensors, known_part(given, "tensors"));
  METALLIC_CHECK(check_operand(tensors.a, plan->operand_bytes[0], "tensors->a"));
  METALLIC_CHECK(check_operand(tensors.b, plan->operand_bytes[1], "tensors->b"));
  METALLIC_CHECK(check_operand(tensors.c, plan->operand_bytes[2], "tensors->c"));
  METALLIC_CHECK(check_operand(tensors.out, plan->operand_bytes[kOut], "tensors->out"));
  METALLIC_CHECK(check_overlap(*plan, tensors));
  METALLIC_CHECK(check_workspace(*plan, workspace, workspace_bytes));
  if (plan->operand_bytes[kOut] == 0) return {};  // nothing to write; out may be NULL, which memset must not get
  const Args args{.in = {tensors.a, tensors.b, tensors.c}, .out = tensors.out};
  const Code code = plan->plan.kernel->run(args, static_cast<std::byte*>(workspace), plan->shared->context->executor());
  if (code != Code::ok) return fail(code, "{} failed: {}", plan->plan.decision.variant->name, name(code));
  return {};
}

}  // namespace
}  // namespace metallic

using namespace metallic;

extern "C" {

const char* metallic_version(void) { return METALLIC_VERSION; }

// Names are literals, so their data ends with a NUL.
const char* metallic_status_name(metallic_status status) { return name(static_cast<Code>(stored(status))).data(); }

const char* metallic_last_error(void) { return last_error.data(); }

metallic_status metallic_context_create(const metallic_context_options* options, metallic_context** context) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(context, "context"));
    *context = nullptr;
    METALLIC_TRY(auto shared, make_shared_context(options));
    *context = new metallic_context{std::move(shared)};
    return {};
  });
}

void metallic_context_destroy(metallic_context* context) { delete context; }

metallic_status metallic_context_synchronize(metallic_context* context) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(context, "context"));
    Executor& executor = context->shared->context->executor();
    return executor.stream() ? cuda::synchronize(executor) : Status();
  });
}

metallic_status metallic_problem_from_label(const char* label, metallic_problem* problem) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(label, "label"));
    METALLIC_TRY(const size_t size, struct_size(problem, "problem"));
    METALLIC_TRY(const Problem parsed, parse_label(label));
    METALLIC_TRY(metallic_problem filled, from_problem(parsed));
    filled.struct_size = size;
    std::memcpy(problem, &filled, std::min(size, sizeof(filled)));
    return {};
  });
}

const char* metallic_packed_layout(metallic_dtype dtype) {
  const auto known = to_dtype(dtype, DType::f32, "dtype");
  return known ? packed_layout(*known).data() : nullptr;  // a literal, so it ends with a NUL
}

metallic_status metallic_packed_bytes(const metallic_problem* problem, size_t* bytes) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(bytes, "bytes"));
    METALLIC_TRY(const metallic_problem given, known_part(problem, "problem"));
    METALLIC_TRY(const Problem wanted, to_problem(given));
    METALLIC_TRY(const int64_t needed, matmul::packed_bytes(wanted));
    *bytes = static_cast<size_t>(needed);
    return {};
  });
}

metallic_status metallic_pack(metallic_context* context, const metallic_problem* problem, const void* b, void* packed) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(context, "context"));
    METALLIC_TRY(const metallic_problem given, known_part(problem, "problem"));
    METALLIC_TRY(const Problem wanted, to_problem(given));
    METALLIC_TRY(const int64_t bytes, matmul::packed_bytes(wanted));
    if (context->shared->context->executor().stream())
      return fail(Code::unsupported, "GPU kernels take no packed weights: give them B as it is");
    METALLIC_CHECK(check_operand(b, operand_bytes(wanted)[1], "b"));
    METALLIC_CHECK(check_operand(packed, bytes, "packed"));
    return matmul::pack_weights(wanted, b, packed, context->shared->context->executor());
  });
}

metallic_status metallic_plan_create(metallic_context* context, const metallic_problem* problem, metallic_plan** plan) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(plan, "plan"));
    *plan = nullptr;
    METALLIC_CHECK(need(context, "context"));
    METALLIC_TRY(const metallic_problem given, known_part(problem, "problem"));
    METALLIC_TRY(const Problem wanted, to_problem(given));
    Context& planner = *context->shared->context;
    METALLIC_TRY(Plan made, planner.plan(wanted));
    const size_t workspace = made.kernel->workspace();
    // A profile's path may contain invalid UTF-8, which must not make this call fail.
    std::string explanation = to_json(made.decision, planner.device()).dump(2, ' ', false, Json::error_handler_t::replace);
    *plan = new metallic_plan{context->shared, std::move(made), operand_bytes(wanted), workspace, std::move(explanation)};
    return {};
  });
}

void metallic_plan_destroy(metallic_plan* plan) { delete plan; }

metallic_status metallic_plan_workspace(const metallic_plan* plan, size_t* bytes) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(plan, "plan"));
    METALLIC_CHECK(need(bytes, "bytes"));
    *bytes = plan->workspace;
    return {};
  });
}

metallic_status metallic_plan_run(const metallic_plan* plan, const metallic_tensors* tensors, void* workspace,
                                  size_t workspace_bytes) {
  return at_boundary([&]() -> Status { return run(plan, tensors, workspace, workspace_bytes); });
}

metallic_status metallic_plan_explain(const metallic_plan* plan, const char** json) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(plan, "plan"));
    METALLIC_CHECK(need(json, "json"));
    *json = plan->explanation.c_str();
    return {};
  });
}

}  // extern "C"
