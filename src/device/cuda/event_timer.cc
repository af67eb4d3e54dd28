#include "device/cuda/event_timer.h"

#include <atomic>
#include <vector>

#ifdef METALLIC_WITH_CUDA
#include <chrono>
#include <utility>

#include "device/cuda/event.h"
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA
namespace {

constexpr size_t kPlaces = 4096;  // runs on their way; a forward pass of an 8B model is some 300
constexpr int kComparisons = 5;   // of the clocks: the one that took least counts

// Asking about an event is forbidden while any thread captures a graph, unless this thread says that it knows what it does.
class WhileCapturing {
 public:
  WhileCapturing() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~WhileCapturing() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  WhileCapturing(const WhileCapturing&) = delete;
  WhileCapturing& operator=(const WhileCapturing&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

cudaStream_t stream_of(Executor& executor) { return static_cast<cudaStream_t>(executor.stream()); }

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

struct Stopwatch::State {
  enum class Use : unsigned char { free, held, on_its_way };
  struct Place {
    Event begin, end;
    const void* what = nullptr;
    std::atomic<Use> use{Use::free};
  };

  // Hands over a run that has ended, whose place this thread holds.
  void hand_over(const Place& place) {
    float since_ms = 0, ms = 0;
    if (cudaEventElapsedTime(&since_ms, reference.get(), place.begin.get()) == cudaSuccess &&
        cudaEventElapsedTime(&ms, place.begin.get(), place.end.get()) == cudaSuccess) {
      take(context, place.what, reference_ns + static_cast<int64_t>(1e6 * since_ms), static_cast<int64_t>(1e6 * ms));
    } else {
      beyond.fetch_add(1, std::memory_order_relaxed);
      cudaGetLastError();
    }
  }

  // Takes hold of a place that is free, or whose run has ended.
  bool hold(Place& place) {
    Use use = place.use.load(std::memory_order_relaxed);
    if (use == Use::held || !place.use.compare_exchange_strong(use, Use::held, std::memory_order_acquire)) return false;
    if (use == Use::free) return true;
    const WhileCapturing allowed;
    if (cudaEventQuery(place.end.get()) != cudaSuccess) {
      cudaGetLastError();  // not having ended yet is no error to those who call next
      place.use.store(Use::on_its_way, std::memory_order_release);
      return false;
    }
    hand_over(place);
    return true;
  }

  Take take = nullptr;
  void* context = nullptr;
  std::vector<Place> places = std::vector<Place>(kPlaces);
  std::atomic<uint64_t> next{0}, captured{0}, beyond{0};
  Event reference;
  int64_t reference_ns = 0;  // when that was
};

Result<std::unique_ptr<Stopwatch>> Stopwatch::create(Executor& executor, Take take, void* context) {
  const WhileCapturing allowed;
  auto state = std::make_unique<State>();
  state->take = take, state->context = context;
  for (State::Place& place : state->places) {
    METALLIC_TRY(place.begin, Event::create());
    METALLIC_TRY(place.end, Event::create());
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
  return std::unique_ptr<Stopwatch>(new Stopwatch(std::move(state)));
}

std::optional<size_t> Stopwatch::begin(const void* what, Executor& executor) {
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream_of(executor), &capturing) != cudaSuccess || capturing != cudaStreamCaptureStatusNone) {
    state_->captured.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  const size_t at = state_->next.fetch_add(1, std::memory_order_relaxed) % kPlaces;
  State::Place& place = state_->places[at];
  if (state_->hold(place)) {
    place.what = what;
    if (cudaEventRecord(place.begin.get(), stream_of(executor)) == cudaSuccess) return at;
    place.use.store(State::Use::free, std::memory_order_release);
  }
  state_->beyond.fetch_add(1, std::memory_order_relaxed);
  return std::nullopt;
}

void Stopwatch::end(size_t at, Executor& executor) {
  State::Place& place = state_->places[at];
  const bool recorded = cudaEventRecord(place.end.get(), stream_of(executor)) == cudaSuccess;
  if (!recorded) state_->beyond.fetch_add(1, std::memory_order_relaxed);
  place.use.store(recorded ? State::Use::on_its_way : State::Use::free, std::memory_order_release);
}

void Stopwatch::finish() {
  const WhileCapturing allowed;
  for (State::Place& place : state_->places) {
    auto use = State::Use::on_its_way;
    if (!place.use.compare_exchange_strong(use, State::Use::held, std::memory_order_acquire)) continue;
    cudaEventSynchronize(place.end.get());
    state_->hand_over(place);
    place.use.store(State::Use::free, std::memory_order_release);
  }
}

Stopwatch::Untimed Stopwatch::untimed() const { return {.captured = state_->captured, .beyond = state_->beyond}; }

#else

struct Stopwatch::State {};

Result<std::unique_ptr<Stopwatch>> Stopwatch::create(Executor&, Take, void*) {
  return fail(Code::unsupported, "this build has no CUDA (nvcc was not found)");
}
std::optional<size_t> Stopwatch::begin(const void*, Executor&) { return std::nullopt; }
void Stopwatch::end(size_t, Executor&) {}
void Stopwatch::finish() {}
Stopwatch::Untimed Stopwatch::untimed() const { return {}; }

#endif

Stopwatch::Stopwatch(std::unique_ptr<State> state) : state_(std::move(state)) {}
Stopwatch::~Stopwatch() = default;

}  // namespace metallic::cuda
