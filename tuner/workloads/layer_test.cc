// SPDX-License-Identifier: Apache-2.0
// A layer's steps: the sizes of a known model, in order.
#include "tuner/workloads/layer.h"

#include <gtest/gtest.h>

#include "ops/label.h"
#include "ops/matmul/shape.h"

namespace metallic {
namespace {

std::vector<std::string> labels(const std::vector<LayerStep>& steps) {
  std::vector<std::string> found;
  for (const LayerStep& step : steps) found.push_back(step.role + " " + label(step.problem));
  return found;
}

TEST(Layer, HasTheSizesOfTheModel) {
  const ModelConfig model = *find_model("llama-3.1-8b");
  EXPECT_EQ(
      labels(layer_steps(model, DType::bf16, 2, 1, 512)),
      (std::vector<std::string>{"qkv 2x4096x6144_tb", "attention batch2_h32kv8_seqq1_seqk512_d128_causal", "o 2x4096x4096_tb",
                                "gate_up 2x4096x28672_tb", "down 2x14336x4096_tb", "lm_head 2x4096x128256_tb"}));
  const auto prefill = layer_steps(model, DType::f32, 1, 64, 64);
  EXPECT_EQ(label(prefill[0].problem), "64x4096x6144_tb");
  EXPECT_EQ(label(prefill.back().problem), "1x4096x128256_tb") << "of a prompt, the last token's logits are wanted";
  // Weights of a layer and of the output, as the model's card counts them: 8.03 billion with the embeddings' 0.53.
  double weights = 0;
  for (const LayerStep& step : prefill)
    if (step.problem.op() == kMatmul)
      weights += static_cast<double>(step.problem.as<MatmulShape>().k) * static_cast<double>(step.problem.as<MatmulShape>().n) *
                 (step.of_layer ? static_cast<double>(model.layers) : 1);
  EXPECT_NEAR(weights / 1e9, 8.03 - 0.53, 0.01);
  for (const LayerStep& step : layer_steps(model, DType::bf16, 1, 1, 8)) {
    EXPECT_EQ(step.problem.dtype, DType::bf16);
    EXPECT_TRUE(validate(step.problem));
  }
}

}  // namespace
}  // namespace metallic
