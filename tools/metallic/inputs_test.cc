// SPDX-License-Identifier: Apache-2.0
// Inputs: the element types of a tuning run.
#include "tools/metallic/inputs.h"

#include <gtest/gtest.h>

namespace metallic::cli {
namespace {

TEST(TypesToTune, AreTheModelsOwnAndF32IfThereIsTime) {
  const auto types = [](std::optional<DType> own, double budget_s) { return types_to_tune(ModelConfig{.dtype = own}, budget_s); };
  EXPECT_EQ(types(DType::bf16, 60), (std::vector<std::string>{"bf16", "f32"}));
  EXPECT_EQ(types(DType::bf16, 2), (std::vector<std::string>{"bf16"}));
  for (const double budget_s : {2.0, 60.0}) {
    EXPECT_EQ(types(DType::f32, budget_s), (std::vector<std::string>{"f32"}));
    EXPECT_EQ(types(std::nullopt, budget_s), (std::vector<std::string>{"f32"}));
  }
  EXPECT_EQ(find_model(kDefaultModel)->dtype, DType::bf16);
}

}  // namespace
}  // namespace metallic::cli
