// SPDX-License-Identifier: Apache-2.0
// Tests when work runs on the calling thread alone, and when on all threads again.
#include "device/cpu/contention.h"

#include <gtest/gtest.h>

namespace metallic::cpu {
namespace {

constexpr int64_t kMs = 1'000'000;

TEST(Contention, CalmRunsStayOnAllThreads) {
  Contention contention;
  int64_t now = 0;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(contention.alone(now));
    now += 20'000;
    contention.joined(now, 10'000, 10'000);
  }
  contention.joined(now, 90 * kMs, 10 * kMs);
  EXPECT_FALSE(contention.alone(now)) << "long tasks end at different times";
}

TEST(Contention, OneLongWaitSendsWorkHomeForMilliseconds) {
  Contention contention;
  contention.joined(0, 10'000, 3 * kMs);
  EXPECT_TRUE(contention.alone(0));
  EXPECT_TRUE(contention.alone(23 * kMs));
  EXPECT_FALSE(contention.alone(24 * kMs));
}

// The share of the time that waits cost if a worker never has a core when it is needed.
TEST(Contention, LastingContentionCostsLittle) {
  Contention contention;
  int64_t now = 0, lost = 0;
  while (now < 60'000 * kMs)
    if (contention.alone(now)) {
      now += 50'000;
    } else {
      now += 4 * kMs;
      lost += 4 * kMs;
      contention.joined(now, 10'000, 4 * kMs);
    }
  EXPECT_LT(lost, now / 50);
}

TEST(Contention, CalmIsForgiven) {
  Contention contention;
  int64_t now = 0;
  for (int i = 0; i < 4; ++i) {
    contention.joined(now, 10'000, 4 * kMs);
    while (contention.alone(now)) now += kMs;
  }
  const int64_t absence = 64 * 4 * kMs;
  now += absence + kMs;
  contention.joined(now, 10'000, 10'000);
  contention.joined(now, 10'000, 4 * kMs);
  EXPECT_FALSE(contention.alone(now + Contention::kFirst * 4 * kMs)) << "as the first time";
}

}  // namespace
}  // namespace metallic::cpu
