// SPDX-License-Identifier: Apache-2.0
// The threads that share the tasks of a run with the calling thread, as many of them as the system lets us start.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/executor.h"

namespace metallic::cpu {

class Workers {
 public:
  /// Starts threads until `threads` ≥ 1 can run tasks, including the calling one, or until the system refuses one.
  explicit Workers(int threads);
  /// Joins the threads, except in a forked child, where they do not exist.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Including the calling one.
  int threads() const { return static_cast<int>(threads_.size()) + 1; }
  /// Why the system refused the next thread, an errno; 0 if it refused none.
  int refusal() const { return refusal_; }
  /// Whether this process started the threads, rather than the one that it was forked from.
  bool are_here() const;

  /// Runs task(context, i) for each i < count. Thread t begins with the t-th share of the tasks, so repeated runs find their data
  /// in its caches, and then takes tasks from others. Calls from several threads wait for each other. Returns the time in ns of
  /// the steady clock at which the calling thread began to wait for the others.
  int64_t run(size_t count, Executor::Task task, void* context);

  /// Makes idle threads sleep now. They otherwise spin for kSpinNs first, because waking one takes 50 µs and more.
  void rest() { resting_.store(true, std::memory_order_relaxed); }

  static constexpr int64_t kSpinNs = 20'000'000;

 private:
  // The tasks of one thread's share that nobody has begun. Its owner takes from the front, others from the back.
  struct alignas(64) Share {
    std::atomic<size_t> left = 0;
    size_t first = 0;
    std::atomic<size_t> end = 0;
  };
  struct Start {
    Workers* workers;
    size_t index;
  };

  static void* loop(void* start);
  uint32_t next_epoch(uint32_t seen);
  void work(size_t thread);

  const uint32_t process_;
  int refusal_ = 0;
  std::vector<Start> starts_;
  std::vector<Share> shares_;  // of the calling thread, then of the others
  std::vector<pthread_t> threads_;
  std::mutex running_;

  // The current run. `epoch_` counts runs and publishes the two members after it.
  alignas(64) std::atomic<uint32_t> epoch_ = 0;
  Executor::Task task_ = nullptr;  // null: the threads end
  void* context_ = nullptr;
  std::atomic<bool> resting_ = false;
  alignas(64) std::atomic<int> sleeping_ = 0;  // threads that wait for the next epoch in the kernel
  alignas(64) std::atomic<int> active_ = 0;    // threads that have not finished the current run
  std::atomic<bool> awaited_ = false;          // the calling thread sleeps until active_ is 0
};

/// The steady clock in ns.
int64_t now_ns();

}  // namespace metallic::cpu
