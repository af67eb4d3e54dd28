// SPDX-License-Identifier: Apache-2.0
#include "device/cuda/event_timer.h"

#include <atomic>
#include <vector>

#ifdef METALLIC_WITH_CUDA
#include <chrono>
#include <utility>

#include "device/cuda/event.h"
#include "device/cuda/while_capturing.h"
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA
namespace {

constexpr size_t kSlots = 4096;  // runs in flight; a forward pass of an 8B model has some 300
constexpr int kComparisons = 5;  // of the clocks: the shortest one counts

cudaStream_t stream_of(Executor& executor) { return static_cast<cudaStream_t>(executor.stream()); }

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

struct EventTimer::State {
  enum class Use : unsigned char { free, claimed, in_flight };
  struct Slot {
    Event begin, end;
    const void* what = nullptr;
    std::atomic<Use> use{Use::free};
  };

  // Reports a completed run whose slot this thread has claimed.
  void report(const Slot& slot) {
    float since_ms = 0, ms = 0;
    if (cudaEventElapsedTime(&since_ms, reference.get(), slot.begin.get()) == cudaSuccess &&
        cudaEventElapsedTime(&ms, slot.begin.get(), slot.end.get()) == cudaSuccess) {
      callback(context, slot.what, reference_ns + static_cast<int64_t>(1e6 * since_ms), static_cast<int64_t>(1e6 * ms));
    } else {
      dropped.fetch_add(1, std::memory_order_relaxed);
      cudaGetLastError();
    }
  }

  // Claims a slot that is free or whose run is complete.
  bool claim(Slot& slot) {
    Use use = slot.use.load(std::memory_order_relaxed);
    if (use == Use::claimed || !slot.use.compare_exchange_strong(use, Use::claimed, std::memory_order_acquire)) return false;
    if (use == Use::free) return true;
    const WhileCapturing allowed;
    if (cudaEventQuery(slot.end.get()) != cudaSuccess) {
      cudaGetLastError();  // clears cudaErrorNotReady, which is not an error for later calls
      slot.use.store(Use::in_flight, std::memory_order_release);
      return false;
    }
    report(slot);
    return true;
  }

  Callback callback = nullptr;
  void* context = nullptr;
  std::vector<Slot> slots = std::vector<Slot>(kSlots);
  std::atomic<uint64_t> next{0}, captured{0}, dropped{0};
  Event reference;
  int64_t reference_ns = 0;  // host time of the reference event
};

Result<std::unique_ptr<EventTimer>> EventTimer::create(Executor& executor, Callback callback, void* context) {
  const WhileCapturing allowed;
  auto state = std::make_unique<State>();
  state->callback = callback, state->context = context;
  for (State::Slot& slot : state->slots) {
    METALLIC_TRY(slot.begin, Event::create());
    METALLIC_TRY(slot.end, Event::create());
  }
  int64_t least_ns = INT64_MAX;
  for (int i = 0; i < kComparisons; ++i) {
    METALLIC_TRY(Event event, Event::create());
    METALLIC_CUDA(cudaStreamSynchronize(stream_of(executor)));
    const int64_t before_ns = now_ns();
    METALLIC_CUDA(cudaEventRecord(event.get(), stream_of(executor)));
    METALLIC_CUDA(cudaEventSynchronize(event.get()));
    const int64_t took_ns = now_ns() - before_ns;
    if (took_ns >= least_ns) continue;
    least_ns = took_ns;
    state->reference = std::move(event);
    state->reference_ns = before_ns + took_ns / 2;
  }
  return std::unique_ptr<EventTimer>(new EventTimer(std::move(state)));
}

std::optional<size_t> EventTimer::begin(const void* what, Executor& executor) {
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream_of(executor), &capturing) != cudaSuccess || capturing != cudaStreamCaptureStatusNone) {
    state_->captured.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  const size_t at = state_->next.fetch_add(1, std::memory_order_relaxed) % kSlots;
  State::Slot& slot = state_->slots[at];
  if (state_->claim(slot)) {
    slot.what = what;
    if (cudaEventRecord(slot.begin.get(), stream_of(executor)) == cudaSuccess) return at;
    slot.use.store(State::Use::free, std::memory_order_release);
  }
  state_->dropped.fetch_add(1, std::memory_order_relaxed);
  return std::nullopt;
}

void EventTimer::end(size_t at, Executor& executor) {
  State::Slot& slot = state_->slots[at];
  const bool recorded = cudaEventRecord(slot.end.get(), stream_of(executor)) == cudaSuccess;
  if (!recorded) state_->dropped.fetch_add(1, std::memory_order_relaxed);
  slot.use.store(recorded ? State::Use::in_flight : State::Use::free, std::memory_order_release);
}

void EventTimer::finish() {
  const WhileCapturing allowed;
  for (State::Slot& slot : state_->slots) {
    auto use = State::Use::in_flight;
    if (!slot.use.compare_exchange_strong(use, State::Use::claimed, std::memory_order_acquire)) continue;
    cudaEventSynchronize(slot.end.get());
    state_->report(slot);
    slot.use.store(State::Use::free, std::memory_order_release);
  }
}

EventTimer::Untimed EventTimer::untimed() const { return {.captured = state_->captured, .dropped = state_->dropped}; }

#else

struct EventTimer::State {};

Result<std::unique_ptr<EventTimer>> EventTimer::create(Executor&, Callback, void*) {
  return fail(Code::unsupported, "this build has no CUDA (nvcc was not found)");
}
std::optional<size_t> EventTimer::begin(const void*, Executor&) { return std::nullopt; }
void EventTimer::end(size_t, Executor&) {}
void EventTimer::finish() {}
EventTimer::Untimed EventTimer::untimed() const { return {}; }

#endif

EventTimer::EventTimer(std::unique_ptr<State> state) : state_(std::move(state)) {}
EventTimer::~EventTimer() = default;

}  // namespace metallic::cuda
