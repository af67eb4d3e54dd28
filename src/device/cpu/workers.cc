// SPDX-License-Identifier: Apache-2.0
#include "device/cpu/workers.h"

#include <hwy/cache_control.h>

#include <chrono>

#include "base/process.h"

namespace metallic::cpu {
namespace {

// Spins until `done` or for at most kSpinNs. Reads the clock rarely, since that takes as long as many looks.
template <typename Done>
bool spin(const Done& done) {
  constexpr int kLooks = 256;
  const int64_t end = now_ns() + Workers::kSpinNs;
  do {
    for (int look = 0; look < kLooks; ++look) {
      if (done()) return true;
      hwy::Pause();
    }
  } while (now_ns() < end);
  return false;
}

// Takes one task if there is one.
bool take(std::atomic<size_t>& left) {
  size_t now = left.load(std::memory_order_relaxed);
  while (now > 0)
    if (left.compare_exchange_weak(now, now - 1, std::memory_order_relaxed)) return true;
  return false;
}

}  // namespace

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Workers::Workers(int threads) : process_(process_generation()), shares_(static_cast<size_t>(threads)) {
  const size_t others = static_cast<size_t>(threads) - 1;
  starts_.reserve(others);
  threads_.reserve(others);
  for (size_t i = 0; i < others; ++i) {
    starts_.push_back({this, i + 1});
    pthread_t thread;
    refusal_ = pthread_create(&thread, nullptr, loop, &starts_.back());
    if (refusal_ != 0) break;
    threads_.push_back(thread);
  }
}

Workers::~Workers() {
  if (!are_here()) return;
  task_ = nullptr;
  ++epoch_;
  epoch_.notify_all();
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
}

bool Workers::are_here() const { return process_ == process_generation(); }

void* Workers::loop(void* start) {
  const auto [workers, index] = *static_cast<const Start*>(start);
  for (uint32_t seen = 0;;) {
    seen = workers->next_epoch(seen);
    if (!workers->task_) return nullptr;
    workers->work(index);
    // The last one wakes the caller. Both orders are sequentially consistent: either it sees that the caller sleeps, or the
    // caller sees that it is done.
    if (workers->active_.fetch_sub(1) == 1 && workers->awaited_) workers->active_.notify_one();
  }
}

uint32_t Workers::next_epoch(uint32_t seen) {
  if (spin([&] { return epoch_.load(std::memory_order_acquire) != seen || resting_.load(std::memory_order_relaxed); }) &&
      epoch_.load(std::memory_order_acquire) != seen)
    return epoch_.load(std::memory_order_acquire);
  ++sleeping_;
  epoch_.wait(seen);
  --sleeping_;
  return epoch_.load(std::memory_order_acquire);
}

void Workers::work(size_t thread) {
  for (Share& own = shares_[thread]; take(own.left);) task_(context_, own.first++);
  const size_t threads = threads_.size() + 1;
  for (size_t step = 1; step < threads; ++step)
    for (Share& other = shares_[(thread + step) % threads]; take(other.left);)
      task_(context_, other.end.fetch_sub(1, std::memory_order_relaxed) - 1);
}

int64_t Workers::run(size_t count, Executor::Task task, void* context) {
  const std::lock_guard lock(running_);
  const size_t threads = threads_.size() + 1;
  for (size_t t = 0, first = 0; t < threads; ++t) {
    const size_t share = count / threads + (t < count % threads);
    shares_[t].first = first;
    shares_[t].end.store(first += share, std::memory_order_relaxed);
    shares_[t].left.store(share, std::memory_order_relaxed);
  }
  task_ = task;
  context_ = context;
  active_.store(static_cast<int>(threads) - 1, std::memory_order_relaxed);
  resting_.store(false, std::memory_order_relaxed);
  ++epoch_;
  if (sleeping_ > 0) epoch_.notify_all();
  work(0);
  const int64_t worked = now_ns();
  if (spin([&] { return active_.load(std::memory_order_acquire) == 0; })) return worked;
  awaited_ = true;
  for (int left = active_; left != 0; left = active_) active_.wait(left);
  awaited_ = false;
  return worked;
}

}  // namespace metallic::cpu
