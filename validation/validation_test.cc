// Every variant × tuning × ISA of this machine on the quick cases: a new variant is tested by being there.
#include <gtest/gtest.h>

#include "backends/cpu/facts.h"
#include "backends/cpu/libraries.h"
#include "validation/trial.h"

namespace metallic::validation {
namespace {

struct Types {
  Op op;
  DType dtype, out_dtype;
};

class Variants : public testing::TestWithParam<Types> {};

TEST_P(Variants, AgreeWithTheDefinition) {
  const auto [op, dtype, out_dtype] = GetParam();
  DeviceFacts facts = cpu::facts();
  facts.libraries = cpu::libraries();
  const auto all = instances(op, facts);
  size_t tried = 0;
  for (const Case& each : cases(op, dtype, out_dtype, Depth::quick)) {
    Trial trial(each);
    BackwardExecutor executor(each.problem.threads);
    for (const Instance& instance : all) {
      if (!trial.concerns(instance)) continue;
      const auto wrong = trial.run(instance, executor);
      ASSERT_FALSE(wrong) << trial.describe(instance) << ": " << *wrong;
      ++tried;
    }
  }
  EXPECT_GT(tried, 20u);
}

std::vector<Types> all_types() {
  std::vector<Types> all;
  for (const Op op : kOps)
    for (const DType in : kDTypes)
      for (const DType out : kDTypes)
        if (in == out || in == DType::f32 || out == DType::f32) all.push_back({op, in, out});
  return all;
}

std::string test_name(const testing::TestParamInfo<Types>& info) {
  return std::string(name(info.param.op)) + "_" + std::string(name(info.param.dtype)) + "_" +
         std::string(name(info.param.out_dtype));
}

INSTANTIATE_TEST_SUITE_P(All, Variants, testing::ValuesIn(all_types()), test_name);

}  // namespace
}  // namespace metallic::validation
