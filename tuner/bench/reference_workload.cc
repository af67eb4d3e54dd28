// SPDX-License-Identifier: Apache-2.0
// Independent xorshift generators, calibrated on one thread and timed on all.
#include "tuner/bench/reference_workload.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "tuner/bench/timer.h"

namespace metallic {
namespace {

// Six independent xorshift generators fill a core, so that a busy hyperthread sibling shows. Scalar: wide multiply-adds would
// lower the frequency of some processors for the kernel that is timed next.
uint64_t work(uint64_t seed, int64_t rounds) {
  uint64_t a = seed, b = seed + 1, c = seed + 2, d = seed + 3, e = seed + 4, f = seed + 5;
  const auto step = [](uint64_t& x) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  };
  for (int64_t i = 0; i < rounds; ++i) {
    step(a), step(b), step(c);
    step(d), step(e), step(f);
  }
  return a ^ b ^ c ^ d ^ e ^ f;
}

}  // namespace

ReferenceWorkload::ReferenceWorkload(Executor& executor) : executor_(executor) {
  // On this thread only: on a busy machine every call of many threads may wait for a time slice. The minimum of several runs:
  // many of them may be slow beside another program.
  constexpr double kTargetSeconds = 75e-6;
  constexpr int kRuns = 9;
  volatile uint64_t sink = 1;  // keeps the compiler from dropping the work; clang sees through an atomic
  double least = 0;
  for (rounds_ = 128; least < kTargetSeconds / 2;) {
    rounds_ *= 2;
    least = 1;
    for (int i = 0; i < kRuns; ++i) {
      const auto begin = Clock::now();
      sink = work(sink, rounds_);
      least = std::min(least, seconds_since(begin));
    }
  }
  rounds_ = static_cast<int64_t>(static_cast<double>(rounds_) * kTargetSeconds / least);
}

double ReferenceWorkload::time(int64_t rounds) {
  std::atomic<uint64_t> sink = 1;
  const auto begin = Clock::now();
  executor_.parallel(static_cast<size_t>(executor_.threads()), [&](size_t task) {
    sink.fetch_xor(work(sink.load(std::memory_order_relaxed) + task + 1, rounds), std::memory_order_relaxed);
  });
  return seconds_since(begin);
}

double ReferenceWorkload::read() {
  time(1);
  return time(rounds_);
}

}  // namespace metallic
