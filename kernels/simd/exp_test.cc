// The exponential on every ISA of this machine: its error in units of the last place, and its special values.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/exp_test.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "backends/cpu/isa.h"
#include "kernels/simd/exp-inl.h"
#include "kernels/simd/partial-inl.h"

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

TEST(Exp, IsWithinTwoUnitsOfTheLastPlace) {
  std::vector<float> x;
  for (uint32_t bits = 0; std::bit_cast<float>(bits) < 87.336f; bits += 1499) x.push_back(-std::bit_cast<float>(bits));
  for (int i = 0; i < 1'000'000; ++i) x.push_back(-87.336f * static_cast<float>(i) / 1e6f);
  for (const auto& isa : cpu::supported_isas()) {
    const auto y = exp_on(isa, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = std::exp(static_cast<double>(x[i]));
      const double place = std::ldexp(1.0, std::ilogb(want) - 23);
      ASSERT_LT(std::abs(y[i] - want), 2 * place) << isa.name << ": e^" << x[i];
    }
  }
}

TEST(Exp, IsExactAtItsEnds) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const auto& isa : cpu::supported_isas()) {
    const auto y = exp_on(isa, {0.0f, -0.0f, -std::numeric_limits<float>::denorm_min(), -88.0f, -1e30f, -kInf});
    EXPECT_EQ(y, (std::vector{1.0f, 1.0f, 1.0f, 0.0f, 0.0f, 0.0f})) << isa.name;
    EXPECT_TRUE(std::isnan(exp_on(isa, {std::numeric_limits<float>::quiet_NaN()})[0])) << isa.name;
  }
}

}  // namespace
}  // namespace metallic
#endif
