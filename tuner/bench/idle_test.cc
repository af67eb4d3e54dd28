// SPDX-License-Identifier: Apache-2.0
// Wait until idle: returns as soon as no thread spins, or at the timeout.
#include "tuner/bench/idle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "device/cpu/thread_pool.h"

namespace metallic {
namespace {

using Clock = std::chrono::steady_clock;

// A worker thread as libraries have them: after its work it spins for a while in case there is more, then sleeps.
class Peer {
 public:
  explicit Peer(std::chrono::milliseconds spin)
      : thread_([this, spin] {
          std::unique_lock lock(mutex_);
          while (true) {
            wake_.wait(lock, [&] { return work_ || end_; });
            if (end_) return;
            work_ = false;
            spinning_ = true;
            ++started_;
            const auto until = Clock::now() + spin;
            while (Clock::now() < until && !end_) std::this_thread::yield();
            spinning_ = false;
          }
        }) {}
  ~Peer() {
    end_ = true;  // before taking the lock, which the thread holds while it spins
    { const std::lock_guard lock(mutex_); }
    wake_.notify_one();
    thread_.join();
  }

  // Returns when the thread has done the work and spins.
  void run() {
    const int before = started_;
    {
      const std::lock_guard lock(mutex_);
      work_ = true;
    }
    wake_.notify_one();
    while (started_ == before) std::this_thread::yield();
  }
  bool spinning() const { return spinning_; }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool work_ = false;
  std::atomic<bool> end_ = false, spinning_ = false;
  std::atomic<int> started_ = 0;
  std::thread thread_;
};

TEST(WaitUntilIdle, ReturnsWhenThePeerSleeps) {
  Peer peer(std::chrono::milliseconds(50));
  for (int i = 0; i < 5; ++i) {
    peer.run();
    const bool idle = is_idle();
    EXPECT_FALSE(idle && peer.spinning());
    EXPECT_LT(wait_until_idle(/*timeout_s=*/10), 9) << "the sleeping thread was not recognised";
    EXPECT_FALSE(peer.spinning());
    EXPECT_TRUE(is_idle());
  }
}

TEST(WaitUntilIdle, ReturnsAtOnceIfIdle) {
  Peer peer(std::chrono::milliseconds(1));
  peer.run();
  wait_until_idle(10);
  std::vector<double> waits;
  for (int i = 0; i < 101; ++i) waits.push_back(wait_until_idle());
  std::ranges::nth_element(waits, waits.begin() + 50);
  EXPECT_LT(waits[50], 5e-3);
}

TEST(WaitUntilIdle, TimesOut) {
  Peer peer(std::chrono::seconds(10));
  peer.run();
  EXPECT_GE(wait_until_idle(0.02), 0.02);
  EXPECT_TRUE(peer.spinning());
}

// Workers spin for 70 to 100 ms; told to rest they sleep within 0.1 ms. Medians, because other programs may use the cores.
TEST(WaitUntilIdle, ReturnsAtOnceIfThePoolRests) {
  cpu::Pool pool(2, /*patient=*/true);
  const auto median_wait = [&](bool rest) {
    std::vector<double> waits;
    for (int i = 0; i < 7; ++i) {
      pool.parallel(2, [](size_t) {});
      if (rest) pool.rest();
      waits.push_back(wait_until_idle(10));
    }
    std::ranges::nth_element(waits, waits.begin() + 3);
    return waits[3];
  };
  const double spinning = median_wait(false), resting = median_wait(true);
  EXPECT_LT(resting, 0.02);
  EXPECT_LT(resting, spinning / 2);
}

TEST(WaitUntilIdle, ARestedPoolStillWorks) {
  cpu::Pool pool(3), lone(1);
  for (cpu::Pool* executor : {&pool, &lone})
    for (int i = 0; i < 100; ++i) {
      std::atomic<int> sum = 0;
      executor->parallel(10, [&](size_t task) { sum += static_cast<int>(task); });
      executor->rest();
      ASSERT_EQ(sum, 45);
    }
}

}  // namespace
}  // namespace metallic
