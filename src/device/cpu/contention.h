// SPDX-License-Identifier: Apache-2.0
// Detects contention for the cores, and decides when work runs on the calling thread alone. If other processes want the cores, a
// worker thread may have lost its core for milliseconds, and the caller would wait for it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace metallic::cpu {

class Contention {
 public:
  // A wait of this many ns is contention. A scheduler takes a core away for 3 to 10 ms; waking a thread takes up to 1 ms on a
  // virtual machine.
  static constexpr int64_t kLong = 2'000'000;
  // After contention, work runs alone for kFirst times the wait, and for twice as long each time it happens again, up to kMost
  // times. So waits cost at most a tenth of the time, later a hundredth, and a single disturbance passes after some milliseconds.
  static constexpr int64_t kFirst = 8, kMost = 128;

  /// Whether a run that begins at `now`, in ns, should use the calling thread alone.
  bool alone(int64_t now) const { return now < until_.load(std::memory_order_relaxed); }

  /// Records that a run on all threads ended at `now`, after the calling thread worked for `worked` and then waited for `waited`
  /// ns.
  void joined(int64_t now, int64_t worked, int64_t waited) {
    if (waited < kLong || waited < 2 * worked) {
      // Forgets earlier contention after as much time without it as the last period alone lasted.
      const int64_t until = until_.load(std::memory_order_relaxed), times = times_.load(std::memory_order_relaxed);
      if (times > 0 && now - until > length_.load(std::memory_order_relaxed)) times_.store(0, std::memory_order_relaxed);
      return;
    }
    const int64_t times = std::clamp(2 * times_.load(std::memory_order_relaxed), kFirst, kMost);
    times_.store(times, std::memory_order_relaxed);
    length_.store(times * waited, std::memory_order_relaxed);
    until_.store(now + times * waited, std::memory_order_relaxed);
  }

 private:
  // Several threads may write at once, and any of their values is good enough.
  std::atomic<int64_t> until_ = 0, length_ = 0, times_ = 0;
};

}  // namespace metallic::cpu
