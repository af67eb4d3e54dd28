// SPDX-License-Identifier: Apache-2.0
// Tests loads and stores of 16-bit types on every target of this machine against the scalar conversions: every stored value, and
// every point at which rounding changes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/simd/storage_test.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "device/cpu/isa.h"
#include "ops/element.h"
#include "ops/simd/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {

// Copies `count` elements: whole vectors, then a partial one.
void load_all(DType dtype, const void* from, float* to, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  with_type(dtype, [=]<typename T>(T) HWY_ATTR {
    const T* x = static_cast<const T*>(from);
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) hn::StoreU(load_f32(d, x + i), d, to + i);
    if (i < count) store_partial(load_f32_partial(d, x + i, count - i), d, to + i, count - i);
  });
}

void store_all(DType dtype, const float* from, void* to, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  with_type(dtype, [=]<typename T>(T) HWY_ATTR {
    T* y = static_cast<T*>(to);
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) store_f32(hn::LoadU(d, from + i), d, y + i);
    if (i < count) store_f32_partial(load_partial(d, from + i, count - i), d, y + i, count - i);
  });
}

// All lanes of a partial load of `count` elements, also the lanes beyond them. Returns how many there are.
size_t load_lanes(DType dtype, const void* from, float* to, size_t count) {
  const hn::ScalableTag<float> d;
  with_type(dtype, [=]<typename T>(T) HWY_ATTR {
    hn::StoreU(load_f32_partial(d, static_cast<const T*>(from), std::min(count, hn::Lanes(d))), d, to);
  });
  return hn::Lanes(d);
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic {
namespace {

HWY_EXPORT(load_all);
HWY_EXPORT(store_all);
HWY_EXPORT(load_lanes);

template <typename T>
class Storage : public testing::Test {
 public:
  static constexpr DType kType = std::is_same_v<T, float16_t> ? DType::f16 : DType::bf16;
};
using Types16 = testing::Types<float16_t, bfloat16_t>;

struct TypeName {
  template <typename T>
  static std::string GetName(int) {
    return std::string(name(Storage<T>::kType));
  }
};
TYPED_TEST_SUITE(Storage, Types16, TypeName);

template <typename T>
std::vector<T> every_value() {
  std::vector<T> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = std::bit_cast<T>(static_cast<uint16_t>(i));
  return all;
}

// For each pair of neighbours: both, the number halfway, and the neighbours of all three in f32. Then the limits of f32.
template <typename T>
std::vector<float> rounding_edges() {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> edges = {kInf,
                              std::numeric_limits<float>::max(),
                              std::numeric_limits<float>::min(),
                              std::numeric_limits<float>::denorm_min(),
                              std::bit_cast<float>(0x7f800001u),   // signalling, its payload in the bits that are dropped
                              std::bit_cast<float>(0x7fffffffu)};  // carries when rounded like a number
  for (uint16_t bits = 0; std::isfinite(to_float(std::bit_cast<T>(bits))); ++bits) {
    const double low = to_float(std::bit_cast<T>(bits)), next = to_float(std::bit_cast<T>(static_cast<uint16_t>(bits + 1)));
    const double before = bits == 0 ? 0 : to_float(std::bit_cast<T>(static_cast<uint16_t>(bits - 1)));
    const double high = std::isinf(next) ? 2 * low - before : next;  // where the next number would be
    for (const double at : {low, (low + high) / 2, high}) {
      const auto x = static_cast<float>(at);
      for (const float near : {std::nextafter(x, 0.0f), x, std::nextafter(x, kInf)}) edges.push_back(near);
    }
  }
  for (size_t i = 0, count = edges.size(); i < count; ++i) edges.push_back(-edges[i]);
  return edges;
}

template <typename T>
void expect_stores(const cpu::Isa& isa, const std::vector<float>& values) {
  std::vector<T> got(values.size());
  cpu::pick(HWY_DISPATCH_TABLE(store_all), isa.bit)(Storage<T>::kType, values.data(), got.data(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const T want = from_double<T>(values[i]);
    if (std::isnan(values[i]))
      ASSERT_TRUE(std::isnan(to_float(got[i]))) << isa.name << ": a NaN is stored as " << got[i].bits;
    else
      ASSERT_EQ(got[i].bits, want.bits) << isa.name << " stores " << values[i] << ", bits " << std::bit_cast<uint32_t>(values[i]);
  }
}

TYPED_TEST(Storage, LoadsEveryValue) {
  const auto all = every_value<TypeParam>();
  for (const auto& isa : cpu::supported_isas()) {
    std::vector<float> got(all.size());
    cpu::pick(HWY_DISPATCH_TABLE(load_all), isa.bit)(this->kType, all.data(), got.data(), all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      const float want = to_float(all[i]);
      if (std::isnan(want))
        ASSERT_TRUE(std::isnan(got[i])) << isa.name << " loads " << all[i].bits;
      else
        ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want)) << isa.name << " loads " << all[i].bits;
    }
  }
}

TYPED_TEST(Storage, RoundsToNearestEvenAtEveryEdge) {
  const auto edges = rounding_edges<TypeParam>();
  for (const auto& isa : cpu::supported_isas()) expect_stores<TypeParam>(isa, edges);
}

TYPED_TEST(Storage, RoundsAnyNumber) {
  // Half of any bits at all, half of the magnitudes that f16 has.
  std::mt19937 random(1);
  std::vector<float> values(2'000'003);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto bits = static_cast<uint32_t>(random());
    values[i] = std::bit_cast<float>(i % 2 == 0 ? bits : (bits & 0x8fffffff) + 0x32000000);
  }
  for (const auto& isa : cpu::supported_isas()) expect_stores<TypeParam>(isa, values);
}

TYPED_TEST(Storage, KeepsToTheElementsItIsGiven) {
  constexpr size_t kMost = 64;
  const auto poison = std::bit_cast<TypeParam>(uint16_t{0x7fff});  // NaN in both types
  for (const auto& isa : cpu::supported_isas())
    for (size_t count = 0; count < 33; ++count) {
      std::vector<TypeParam> stored(kMost, poison);
      std::vector<float> ones(count, 1.0f), lanes(kMost);
      cpu::pick(HWY_DISPATCH_TABLE(store_all), isa.bit)(this->kType, ones.data(), stored.data(), count);
      const size_t all = cpu::pick(HWY_DISPATCH_TABLE(load_lanes), isa.bit)(this->kType, stored.data(), lanes.data(), count);
      for (size_t i = 0; i < kMost; ++i)
        ASSERT_EQ(stored[i].bits, i < count ? from_double<TypeParam>(1).bits : poison.bits)
            << isa.name << ", " << i << " of " << count;
      for (size_t i = 0; i < all; ++i) ASSERT_EQ(lanes[i], i < count ? 1.0f : 0.0f) << isa.name << ", " << i << " of " << count;
    }
}

}  // namespace
}  // namespace metallic
#endif
