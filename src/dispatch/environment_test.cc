// SPDX-License-Identifier: Apache-2.0
#include "dispatch/environment.h"

#include <gtest/gtest.h>

#include <map>

namespace metallic {
namespace {

Lookup fake(std::map<std::string, std::string> values) {
  return [values](std::string_view name) -> std::optional<std::string> {
    const auto at = values.find(std::string(name));
    return at == values.end() ? std::nullopt : std::optional(at->second);
  };
}

TEST(Environment, IsAtItsDefaultsWhereNothingIsSet) {
  const auto environment = read_environment(fake({}));
  ASSERT_TRUE(environment);
  EXPECT_FALSE(environment->variants.contains("softmax"));
  EXPECT_FALSE(environment->profile);
  EXPECT_EQ(environment->numerics, Numerics::fast);
  EXPECT_EQ(environment->log_level, LogLevel::warning);
}

TEST(Environment, ReadsEveryVariableOfTheTable) {
  const auto environment = read_environment(fake({{"METALLIC_SOFTMAX_VARIANT", "block"},
                                                  {"METALLIC_SDPA_VARIANT", "cpu_materialized"},
                                                  {"METALLIC_MATMUL_BACKEND", "mlx"},
                                                  {"METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD", "100"},
                                                  {"METALLIC_MATMUL_SMALLN_MAX_N", "8"},
                                                  {"METALLIC_MATMUL_SIMD_M_MIN", "128"},
                                                  {"METALLIC_MATMUL_SIMD_N_MIN", "32"},
                                                  {"METALLIC_PROFILE", "none"},
                                                  {"METALLIC_DETERMINISM", "batch_invariant"},
                                                  {"METALLIC_LOG_LEVEL", "debug"},
                                                  {"METALLIC_GPU_PROFILER", "true"},
                                                  {"METALLIC_TRACE", "trace.json"},
                                                  {"METALLIC_RECORD", "auto"},
                                                  {"METALLIC_NUM_THREADS", "3"}}));
  ASSERT_TRUE(environment) << environment.error().message;
  EXPECT_EQ(environment->variants.at("softmax"), "block");
  EXPECT_EQ(environment->variants.at("matmul"), "mlx");
  EXPECT_EQ(environment->variants.at("sdpa"), "cpu_materialized");
  EXPECT_EQ(environment->limits.at("METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD"), 100);
  EXPECT_EQ(environment->limits.at("METALLIC_MATMUL_SMALLN_MAX_N"), 8);
  EXPECT_EQ(environment->limits.at("METALLIC_MATMUL_SIMD_M_MIN"), 128);
  EXPECT_EQ(environment->limits.at("METALLIC_MATMUL_SIMD_N_MIN"), 32);
  EXPECT_EQ(environment->profile, "none");
  EXPECT_EQ(environment->numerics, Numerics::batch_invariant);
  EXPECT_EQ(environment->log_level, LogLevel::debug);
  EXPECT_EQ(environment->threads, 3);
  EXPECT_TRUE(environment->profiler);
  EXPECT_EQ(environment->trace, "trace.json");
  EXPECT_EQ(environment->record, "auto") << "a file may have this name";
  EXPECT_EQ(environment_table().size(), 14u) << "a new variable belongs into this test";
}

TEST(Environment, AutoAndEmptyAreTheSameAsUnset) {
  const auto environment = read_environment(fake({{"METALLIC_SOFTMAX_VARIANT", "auto"}, {"METALLIC_NUM_THREADS", ""}}));
  ASSERT_TRUE(environment);
  EXPECT_FALSE(environment->variants.contains("softmax"));
  EXPECT_FALSE(environment->threads);
}

TEST(Environment, ErrorsNameVariableValueAndWhatIsAllowed) {
  for (const auto& [name, value] : std::map<std::string, std::string>{{"METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD", "-1"},
                                                                      {"METALLIC_MATMUL_SMALLN_MAX_N", "16x"},
                                                                      {"METALLIC_MATMUL_SIMD_M_MIN", "99999999999999999999"},
                                                                      {"METALLIC_DETERMINISM", "yes"},
                                                                      {"METALLIC_LOG_LEVEL", "loud\n\x1b[31m"},
                                                                      {"METALLIC_GPU_PROFILER", "1"},
                                                                      {"METALLIC_NUM_THREADS", "0"}}) {
    const auto environment = read_environment(fake({{name, value}}));
    ASSERT_FALSE(environment) << name;
    EXPECT_NE(environment.error().message.find(name), std::string::npos);
    EXPECT_NE(environment.error().message.find(": use "), std::string::npos) << environment.error().message;
    EXPECT_EQ(environment.error().message.find('\n'), std::string::npos) << "errors are one line";
    EXPECT_EQ(environment.error().message.find('\x1b'), std::string::npos);
  }
}

}  // namespace
}  // namespace metallic
