// Contention: when others want the cores too, a thread that waits to be joined may have lost its core for milliseconds. Decides
// when work had better run on the calling thread alone.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace metallic::cpu {

class Contention {
 public:
  // A scheduler takes cores away for 3 to 10 ms at a time; to wake a sleeping thread takes up to 1 ms on a virtual machine.
  static constexpr int64_t kLong = 2'000'000;
  // Alone for so many times what was lost by waiting, and twice as long each time it happens again: what is lost stays below a
  // tenth of the time, then below a hundredth, and who is disturbed once only runs on all threads again after some milliseconds.
  static constexpr int64_t kFirst = 8, kMost = 128;

  /// Whether a run that begins now, in ns, is for the calling thread alone.
  bool alone(int64_t now) const { return now < until_.load(std::memory_order_relaxed); }

  /// A run on all threads has ended now, of which the calling thread worked for `worked` and then waited for `waited` ns.
  void joined(int64_t now, int64_t worked, int64_t waited) {
    if (waited < kLong || waited < 2 * worked) {
      // Calm for as long as the last absence is over and once more.
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
  // Of several threads that run at once each may write: any of their answers will do.
  std::atomic<int64_t> until_ = 0, length_ = 0, times_ = 0;
};

}  // namespace metallic::cpu
