// SPDX-License-Identifier: Apache-2.0
// Problems that an application records are a list that --shapes accepts.
#define METALLIC_IN_TREE
#include <metallic/metallic.hpp>

#include "ops/label.h"
#include "ops/softmax/shape.h"
#include "testing/program.h"
#include "tuner/workloads/weighted_problems.h"

namespace metallic::cli {
namespace {

TEST_F(Program, WhatAnApplicationRecordsIsAListForShapes) {
  const std::map<std::string, int> runs = {
      {"rows4_seqk64", 3}, {"batch2_seqq3_seqk5_causal", 7}, {"2x8x4_tb", 5}, {"2x8x4_a0.5_b2", 1}};
  setenv("METALLIC_RECORD", path("record").c_str(), 1);
  setenv("METALLIC_PROFILE", "none", 1);
  {
    const mtl::Context context({.threads = 1});
    std::vector<float> a(1024, 1.0f), b(1024, 1.0f), out(1024, 1.0f);
    for (const auto& [label, count] : runs) {
      mtl::Plan plan = context.plan(mtl::problem(label));
      for (int i = 0; i < count; ++i)
        if (parse_label(label)->op() == kSoftmax)
          plan.run(a.data(), out.data());
        else
          plan.run(a.data(), b.data(), out.data());
    }
  }
  unsetenv("METALLIC_RECORD");
  unsetenv("METALLIC_PROFILE");
  const auto problems = parse_problem_list(read(path("record")), "record");
  ASSERT_TRUE(problems) << problems.error().message;
  ASSERT_EQ(problems->size(), runs.size());
  double last = 8;
  for (const WeightedProblem& weighted : *problems) {
    EXPECT_EQ(weighted.weight, runs.at(label(weighted.problem)));
    EXPECT_LT(weighted.weight, last) << "most runs first";
    last = weighted.weight;
    EXPECT_TRUE(weighted.typed);
  }
  good({"bench", "--shapes", path("record"), "--cache", "warm", "--budget", "0.05s", "--out", path("D/samples.csv")});
  EXPECT_TRUE(has(read(path("D/samples.csv")), "batch2_seqq3_seqk5_causal"));
}

}  // namespace
}  // namespace metallic::cli
