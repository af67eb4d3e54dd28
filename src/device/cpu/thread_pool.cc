// SPDX-License-Identifier: Apache-2.0
// Runs tasks on pthreadpool, and watches how long the calling thread waits for the others.
#include "device/cpu/thread_pool.h"

#include <pthreadpool.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "device/cpu/cpu_info.h"

namespace metallic::cpu {
namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The tasks of a run, and the time at which the calling thread finished its own.
struct Run {
  Executor::Task task;
  void* context;
  const void* caller;
  alignas(64) int64_t done;  // in a line of its own, because it is written while other threads read the rest
};

// An address that is unique to each thread.
const void* this_thread() {
  static thread_local const char place = 0;
  return &place;
}

}  // namespace

Pool::Pool(int threads, bool patient) : threads_(threads), patient_(patient) {
  if (const int started = std::min(threads, usable_cores()); started > 1)
    pool_.reset(pthreadpool_create(static_cast<size_t>(started)));
}

Pool::~Pool() = default;

void Pool::Destroy::operator()(pthreadpool* pool) const { pthreadpool_destroy(pool); }

void Pool::run(size_t count, Task task, void* context) {
  const int64_t begin = now_ns();
  if (!pool_ || contention_.alone(begin)) {
    for (size_t i = 0; i < count; ++i) task(context, i);
    return;
  }
  Run all = {task, context, this_thread(), begin};
  const auto one = [](void* run, size_t index) {
    auto& all = *static_cast<Run*>(run);
    all.task(all.context, index);
    if (all.caller == this_thread()) all.done = now_ns();
  };
  // pthreadpool serialises calls from several threads. Its workers spin for a moment and then sleep.
  pthreadpool_parallelize_1d(pool_.get(), one, &all, count, 0);
  const int64_t end = now_ns();
  if (!patient_) contention_.joined(end, all.done - begin, end - all.done);
  if (contention_.alone(end)) rest();
}

void Pool::rest() {
  // The flag tells workers to sleep after this call. Each gets a task, because a single task would run on the caller alone.
  if (pool_)
    pthreadpool_parallelize_1d(
        pool_.get(), [](void*, size_t) {}, nullptr, static_cast<size_t>(threads_), PTHREADPOOL_FLAG_YIELD_WORKERS);
}

double join_ns(Executor& executor) {
  constexpr int64_t kLeast = 5, kMost = 400, kLongest = 20'000'000, kBusy = 50'000;
  std::vector<int64_t> times;
  const auto threads = static_cast<size_t>(executor.threads());
  for (int64_t spent = 0; std::ssize(times) < kMost && (spent < kLongest || std::ssize(times) < kLeast);) {
    const int64_t begin = now_ns();
    executor.parallel(threads, [](size_t) {});
    times.push_back(now_ns() - begin);
    spent += times.back();
  }
  const auto high = times.begin() + std::ssize(times) * 3 / 4;
  std::ranges::nth_element(times, high);
  return *high < kBusy ? static_cast<double>(*high) : CpuInfo().join_ns;
}

}  // namespace metallic::cpu
