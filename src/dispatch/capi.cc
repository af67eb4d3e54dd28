// SPDX-License-Identifier: Apache-2.0
// The C interface: versions, statuses, and contexts.
#include <array>
#include <memory>

#include "device/cuda/cuda_devices.h"
#include "device/cuda/device_scope.h"
#include "dispatch/capi_boundary.h"
#include "dispatch/capi_handles.h"

namespace metallic {
namespace {

static_assert(static_cast<int>(Code::invalid_argument) == METALLIC_INVALID_ARGUMENT);
static_assert(static_cast<int>(Code::not_found) == METALLIC_NOT_FOUND);
static_assert(static_cast<int>(Code::unsupported) == METALLIC_UNSUPPORTED);
static_assert(static_cast<int>(Code::out_of_memory) == METALLIC_OUT_OF_MEMORY);
static_assert(static_cast<int>(Code::io) == METALLIC_IO);
static_assert(static_cast<int>(Code::internal) == METALLIC_INTERNAL);

// An array rather than a string: to say that memory is short must not take memory.
thread_local std::array<char, 1024> last_error{};

Result<std::shared_ptr<Shared>> make_shared_context(const metallic_context_options* given) {
  metallic_context_options wanted{};
  if (given) {
    METALLIC_TRY(wanted, known_part(given, "options"));
  }
  auto shared = std::make_shared<Shared>();
  shared->gpu = wanted.device ? cuda::ordinal(wanted.device) : -1;
  const cuda::DeviceScope scope(shared->gpu);
  ContextOptions options;
  if (wanted.model) options.model = wanted.model;
  if (wanted.profile) options.profile = wanted.profile;
  options.threads = wanted.threads;
  if (wanted.device) options.device = wanted.device;
  options.stream = wanted.stream;
  METALLIC_TRY(options.call.numerics, to_numerics(wanted.numerics, "options->numerics"));
  if (wanted.executor) {
    METALLIC_TRY(const CallbackExecutor executor, to_executor(wanted.executor, "options->executor"));
    shared->executor = std::make_unique<CallbackExecutor>(executor);
    options.executor = shared->executor.get();
  }
  if (wanted.log)
    options.log = [log = wanted.log, user = wanted.log_user](std::string_view level, std::string_view text) {
      log(user, std::string(level).c_str(), std::string(text).c_str());
    };
  METALLIC_TRY(shared->context, Context::create(std::move(options)));
  return shared;
}

// For a context whose plans are held: to free them under their holder would be worse.
void keep_until_exit(std::shared_ptr<Shared> shared) {
  static ForkSafeMutex mutex;
  static auto& kept = *new std::vector<std::shared_ptr<Shared>>();
  const std::lock_guard lock(mutex);
  kept.push_back(std::move(shared));
}

}  // namespace

metallic_status remember(Code code, std::string_view message) {
  const size_t length = std::min(message.size(), last_error.size() - 1);
  std::transform(message.begin(), message.begin() + length, last_error.begin(), [](char c) { return c == '\n' ? ' ' : c; });
  last_error[length] = '\0';
  return static_cast<metallic_status>(code);
}

Result<CallbackExecutor> to_executor(const metallic_executor* given, std::string_view what) {
  METALLIC_TRY(const metallic_executor executor, known_part(given, what));
  METALLIC_CHECK(need(reinterpret_cast<const void*>(executor.parallel), fmt::format("{}->parallel", what)));
  if (executor.threads < 1 || executor.threads > 1024)
    return fail(Code::invalid_argument, "{}->threads is {}: use 1 to 1024", what, executor.threads);
  return CallbackExecutor(executor);
}

Result<std::optional<Numerics>> to_numerics(const metallic_numerics& given, std::string_view what) {
  switch (stored(given)) {
    case METALLIC_NUMERICS_DEFAULT: return std::nullopt;
    case METALLIC_FAST: return Numerics::fast;
    case METALLIC_RUN_TO_RUN: return Numerics::run_to_run;
    case METALLIC_BATCH_INVARIANT: return Numerics::batch_invariant;
    default:
      return fail(Code::invalid_argument,
                  "{} is {}: use METALLIC_FAST (1), METALLIC_RUN_TO_RUN (2) or METALLIC_BATCH_INVARIANT (3)", what,
                  stored(given));
  }
}

}  // namespace metallic

using namespace metallic;

extern "C" {

const char* metallic_version(void) { return METALLIC_VERSION; }

// Names are literals, so their data ends in a NUL.
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

void metallic_context_destroy(metallic_context* context) {
  if (!context) return;
  at_boundary([&]() -> Status {
    const cuda::DeviceScope scope(context->shared->gpu);
    const std::shared_ptr<Shared> shared = std::move(context->shared);
    delete context;
    if (!shared->plans.any_held()) return {};
    keep_until_exit(shared);
    shared->context->warn("a context was destroyed while plans of it were held: its memory is never freed");
    return {};
  });
}

metallic_status metallic_context_synchronize(metallic_context* context) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(context, "context"));
    Executor& executor = context->shared->context->executor();
    const cuda::DeviceScope scope(context->shared->gpu);
    return executor.stream() ? cuda::synchronize(executor) : Status();
  });
}

}  // extern "C"
