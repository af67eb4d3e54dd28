// SPDX-License-Identifier: Apache-2.0
// Tests the exponential on every target of this machine: its error in ULP, and its special values.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/simd/exp_test.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "device/cpu/isa.h"
#include "ops/simd/exp-inl.h"
#include "ops/simd/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {

void exp_all(const float* from, float* to, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(exp_nonpositive(d, hn::LoadU(d, from + i)), d, to + i);
  if (i < count) store_partial(exp_nonpositive(d, load_partial(d, from + i, count - i)), d, to + i, count - i);
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic {
namespace {

HWY_EXPORT(exp_all);

std::vector<float> exp_on(const cpu::Isa& isa, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  cpu::pick(HWY_DISPATCH_TABLE(exp_all), isa.bit)(x.data(), y.data(), x.size());
  return y;
}

// The largest error in ULP over −from, …, −(to − 1), whose bits are `step` apart.
double worst_error(const cpu::Isa& isa, uint32_t from, uint32_t to, uint32_t step) {
  double worst = 0;
  std::vector<float> x;
  for (uint64_t next = from; next < to;) {
    x.clear();
    for (; next < to && x.size() < 65536; next += step) x.push_back(-std::bit_cast<float>(static_cast<uint32_t>(next)));
    const auto y = exp_on(isa, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = std::exp(static_cast<double>(x[i]));
      // One ULP, from the bits of the exponent: ilogb takes longer than exp.
      const auto place = std::bit_cast<double>((std::bit_cast<uint64_t>(want) & 0x7ff0000000000000u) - (uint64_t{23} << 52));
      worst = std::max(worst, std::abs(y[i] - want) / place);
    }
  }
  return worst;
}

constexpr float kLeastNormal = 87.336f;  // e^−x is a normal number up to here

TEST(Exp, IsWithinTwoUnitsOfTheLastPlace) {
  const auto end = std::bit_cast<uint32_t>(kLeastNormal);
  for (const auto& isa : cpu::supported_isas()) EXPECT_LT(worst_error(isa, 0, end, 499), 2) << isa.name;
}

// The least and the largest result for −from, …, −to, over all bit patterns between them.
std::pair<float, float> range(const cpu::Isa& isa, uint32_t from, uint32_t to) {
  std::pair<float, float> all = {1, 0};
  std::vector<float> x;
  for (uint64_t next = from; next <= to;) {
    x.resize(std::min<uint64_t>(65536, to - next + 1));
    for (float& each : x) each = -std::bit_cast<float>(static_cast<uint32_t>(next++));
    const auto y = exp_on(isa, x);
    const auto [least, most] = std::ranges::minmax(y);
    all = {std::min(all.first, least), std::max(all.second, most)};
  }
  return all;
}

// Every f32 from −0 to −∞, on the widest target; half a minute in a build without optimisation.
TEST(ExpSlow, IsRightForEveryFloat) {
  using Range = std::pair<float, float>;
  const auto isa = cpu::supported_isas().front();
  const auto bits = [](float x) { return std::bit_cast<uint32_t>(x); };
  EXPECT_EQ(range(isa, 0, bits(0x1p-26f)), (Range{1, 1}));
  EXPECT_LT(worst_error(isa, bits(0x1p-26f), bits(kLeastNormal), 1), 2);
  const auto [least, most] = range(isa, bits(kLeastNormal), bits(88.03f));  // some are 0, which is within 2⁻¹²⁶
  EXPECT_GE(least, 0);
  EXPECT_LT(most, 0x1.01p-126f);
  EXPECT_EQ(range(isa, bits(88.03f), bits(std::numeric_limits<float>::infinity())), (Range{0, 0}));
}

TEST(Exp, IsExactAtItsEnds) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const auto& isa : cpu::supported_isas()) {
    const auto y = exp_on(isa, {0.0f, -0.0f, -std::numeric_limits<float>::denorm_min(), -88.0f, -1e30f, -kInf});
    EXPECT_EQ(y, (std::vector{1.0f, 1.0f, 1.0f, 0.0f, 0.0f, 0.0f})) << isa.name;
    for (const float nan :
         {std::numeric_limits<float>::quiet_NaN(), std::bit_cast<float>(0xffc00001u), std::bit_cast<float>(0x7fffffffu)})
      EXPECT_TRUE(std::isnan(exp_on(isa, std::vector(16, nan))[7])) << isa.name;
    EXPECT_TRUE(std::isnan(exp_on(isa, {std::numeric_limits<float>::quiet_NaN()})[0])) << isa.name;
  }
}

}  // namespace
}  // namespace metallic
#endif
