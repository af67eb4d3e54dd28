// SPDX-License-Identifier: Apache-2.0
// Runs tasks on all threads or on the calling one, by how long it waited for the others.
#include "device/cpu/thread_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "device/cpu/cpu_info.h"

namespace metallic::cpu {

Pool::Pool(int threads, bool patient) : threads_(threads), patient_(patient) {
  const int wanted = std::min(threads, usable_cores());
  auto first = std::make_unique<Generation>(wanted);
  const Workers& workers = first->workers;
  if (workers.refusal() != 0) {
    refusal_ = fmt::format("the system lets this process start {} of {} threads: {}", workers.threads() - 1, wanted - 1,
                           std::strerror(workers.refusal()));
    threads_ = workers.threads();
  }
  newest_ = first.release();
}

Pool::~Pool() {
  for (const Generation* each = newest_; each;) delete std::exchange(each, each->parent);
}

Workers& Pool::workers() {
  Generation* newest = newest_.load(std::memory_order_acquire);
  // Threads that run at the same time may both come here. The first one's are kept.
  if (newest->workers.threads() > 1 && !newest->workers.are_here()) [[unlikely]] {
    auto own = std::make_unique<Generation>(newest->workers.threads(), newest);
    if (newest_.compare_exchange_strong(newest, own.get())) newest = own.release();
  }
  return newest->workers;
}

void Pool::run(size_t count, Task task, void* context) {
  const int64_t begin = now_ns();
  Workers& workers = this->workers();
  if (workers.threads() == 1 || contention_.alone(begin)) {
    for (size_t i = 0; i < count; ++i) task(context, i);
    return;
  }
  const int64_t worked = workers.run(count, task, context), end = now_ns();
  if (!patient_) contention_.joined(end, worked - begin, end - worked);
  if (contention_.alone(end)) workers.rest();
}

void Pool::rest() { newest_.load(std::memory_order_acquire)->workers.rest(); }

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
