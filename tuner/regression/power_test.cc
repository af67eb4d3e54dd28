// SPDX-License-Identifier: Apache-2.0
// Recordings and calibrations: many blocks are folded, and what a calibration counts is what the noise allows.
#include "tuner/regression/power.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tuner/regression/gate.h"
#include "tuner/regression/recorded_samples.h"

namespace metallic::tune {
namespace {

std::vector<std::vector<double>> noise(size_t benchmarks, double sigma, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto uniform = [&] { return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53; };
  std::vector<std::vector<double>> blocks(benchmarks, std::vector<double>(120));
  for (auto& of_one : blocks)
    for (double& d : of_one) d = sigma * std::sqrt(-2 * std::log(uniform())) * std::cos(2 * M_PI * uniform());
  return blocks;
}

TEST(GatePower, CountsWhatTheNoiseAllows) {
  const Calibration quiet = calibrate(noise(8, 0.03, 1), 15, 0.025, 0.05, 200, 1);
  EXPECT_LE(quiet.alarms.count, 2);
  EXPECT_GE(quiet.found.count, 190);
  EXPECT_GE(quiet.passes.count, 190);
  EXPECT_EQ(quiet.found.of, 200);
  EXPECT_LT(quiet.found.low, static_cast<double>(quiet.found.count) / 200);
  for (const auto& benchmark : quiet.benchmarks) {
    EXPECT_NEAR(benchmark.sigma, 0.03, 0.01);
    EXPECT_LT(benchmark.blocks_needed, 40);
  }
  const Calibration loud = calibrate(noise(8, 0.3, 2), 15, 0.025, 0.05, 100, 1);
  EXPECT_LE(loud.alarms.count, 2);
  EXPECT_LT(loud.found.count, 50) << "noise hides the slowdown, and the calibration says so";
  for (const auto& benchmark : loud.benchmarks) EXPECT_GT(benchmark.blocks_needed, 500);
}

TEST(GatePower, AProcessThatIsSlowerByItselfIsSeen) {
  auto blocks = noise(4, 0.005, 3);
  for (size_t b = 0; b < blocks[0].size(); ++b) blocks[0][b] += b / 15 % 2 == 0 ? 0.04 : -0.04;  // as long as both live
  const Calibration calibration = calibrate(blocks, 15, 0.025, 0.05, 200, 1);
  EXPECT_NEAR(calibration.alarms.count, 100, 30) << "where the first happens to be head's";
}

std::string recording(int64_t blocks, double time) {
  std::string text = "variant,parameters,dtype,block,time_ns\n";
  for (int64_t b = 0; b < blocks; ++b)
    text += fmt::format("cpu_vec,rows1_seqk1,f32,{},{}\n", b, time * (1 + 0.01 * static_cast<double>(b % 7)));
  return text;
}

TEST(GateSamples, ManyBlocksAreFolded) {
  const auto base = read_recording(recording(100'000, 100), "base"), head = read_recording(recording(100'000, 110), "head");
  ASSERT_TRUE(base && head);
  const auto pairing = pair_recordings(*base, *head);
  ASSERT_TRUE(pairing);
  ASSERT_EQ(pairing->differences.size(), 1u);
  EXPECT_LE(pairing->differences[0].size(), 1024u);
  EXPECT_GE(pairing->differences[0].size(), 1000u);
  for (const double d : pairing->differences[0]) EXPECT_NEAR(d, std::log(1.1), 1e-9);
  EXPECT_EQ(Gate::of_recorded(pairing->differences, 0.025).verdict(), GateVerdict::fail);
}

TEST(GateSamples, BlocksArePairedByTheirOrder) {
  const auto base = read_recording("variant,parameters,dtype,block,time_ns\nv,4x4x4,f32,7,100\nv,4x4x4,f32,3,200\n", "base");
  const auto head = read_recording("variant,parameters,dtype,block,time_ns\nv,4x4x4,f32,1,200\nv,4x4x4,f32,2,200\n", "head");
  ASSERT_TRUE(base && head);
  const auto pairing = pair_recordings(*base, *head);
  ASSERT_TRUE(pairing);
  EXPECT_EQ(pairing->differences[0], (std::vector<double>{0, std::log(2)}));
}

}  // namespace
}  // namespace metallic::tune
