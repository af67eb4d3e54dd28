// SPDX-License-Identifier: Apache-2.0
// Cold caches: the search on simulated caches, with noise, and on this machine.
#include "tuner/bench/cold_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/cpu_info.h"
#include "device/cpu/thread_pool.h"

namespace metallic {
namespace {

constexpr int64_t kMiB = 1 << 20, kGiB = 1 << 30;

double from_memory(int64_t bytes) { return static_cast<double>(bytes); }

TEST(ColdBytes, MatchAReportedSizeThatIsRight) {
  int readings = 0;
  const auto again = [&](int64_t bytes) { return ++readings, from_memory(bytes) * (bytes > 32 * kMiB ? 0.97 : 0.25); };
  const ColdBytes cold = cold_bytes(64 * kMiB, kGiB, again, from_memory);
  EXPECT_EQ(cold.bytes, 64 * kMiB);
  EXPECT_TRUE(cold.confirmed);
  EXPECT_EQ(readings, 6) << "two comparisons that agree";
}

TEST(ColdBytes, GrowPastAnUnreportedCache) {
  const auto holds_all_or_none = [](int64_t bytes) { return from_memory(bytes) * (bytes > 200 * kMiB ? 1.0 : 0.25); };
  const ColdBytes cold = cold_bytes(16 * kMiB, kGiB, holds_all_or_none, from_memory);
  EXPECT_EQ(cold.bytes, 256 * kMiB);
  EXPECT_TRUE(cold.confirmed);
  // A cache that serves a part of a larger size, four times as fast as memory: 64 of 512 MiB save 9.4 %.
  const auto holds_a_part = [](int64_t bytes) { return from_memory(bytes) - 0.75 * from_memory(std::min(bytes, 64 * kMiB)); };
  EXPECT_EQ(cold_bytes(16 * kMiB, 2 * kGiB, holds_a_part, from_memory).bytes, 1024 * kMiB);
}

TEST(ColdBytes, EndAtTheMost) {
  std::vector<int64_t> sizes;
  const auto cached = [&](int64_t bytes) { return sizes.push_back(bytes), from_memory(bytes) / 4; };
  const ColdBytes cold = cold_bytes(64 * kMiB, 600 * kMiB, cached, from_memory);
  EXPECT_EQ(cold.bytes, 512 * kMiB);
  EXPECT_FALSE(cold.confirmed);
  EXPECT_EQ(std::ranges::max(sizes), 256 * kMiB) << "fresh bytes must fit too";
  EXPECT_EQ(cold_bytes(800 * kMiB, 600 * kMiB, cached, from_memory).bytes, 600 * kMiB);
}

// 5 % of jitter on each reading, and one in ten takes up to four times as long.
TEST(ColdBytes, WithstandNoise) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> jitter(1, 0.05);
  std::uniform_real_distribution<double> uniform;
  const auto noise = [&] { return jitter(random) * (uniform(random) < 0.1 ? 1 + 3 * uniform(random) : 1); };
  const auto again = [&](int64_t bytes) { return from_memory(bytes) * (bytes > 100 * kMiB ? 1.0 : 0.25) * noise(); };
  const auto fresh = [&](int64_t bytes) { return from_memory(bytes) * noise(); };
  int right = 0, far_too_many = 0;
  for (int trial = 0; trial < 1000; ++trial) {
    const ColdBytes cold = cold_bytes(64 * kMiB, kGiB, again, fresh);
    right += cold.bytes == 128 * kMiB;
    far_too_many += cold.bytes > 256 * kMiB;
  }
  EXPECT_GE(right, 900);
  EXPECT_LE(far_too_many, 10);
}

TEST(ColdBytes, AreMeasured) {
  const DeviceInfo device = cpu::device();
  cpu::Pool pool(2);
  const auto begin = std::chrono::steady_clock::now();
  const ColdBytes cold = measure_cold_bytes(device, pool);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  RecordProperty("bytes", std::to_string(cold.bytes));
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_GE(cold.bytes, std::min(16 * kMiB, device.memory_bytes / 10 - 4096));
  EXPECT_LE(cold.bytes, kGiB);
  EXPECT_LT(seconds, 20) << "a fraction of a second on an idle machine";
}

}  // namespace
}  // namespace metallic
