// SPDX-License-Identifier: Apache-2.0
// What tests of the C interface share: owners of handles, operands, scratch memory, an executor that counts.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "metallic/metallic.h"
#include "ops/problem.h"
#include "tuner/verify/oracle.h"

namespace metallic {

// Sets a variable for a scope.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value, 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

struct DestroyContext {
  void operator()(metallic_context* context) const { metallic_context_destroy(context); }
};
struct DestroyPlan {
  void operator()(metallic_plan* plan) const { metallic_plan_destroy(plan); }
};
using ContextHandle = std::unique_ptr<metallic_context, DestroyContext>;
using PlanHandle = std::unique_ptr<metallic_plan, DestroyPlan>;

inline metallic_context_options options(int threads) {
  return {.struct_size = sizeof(metallic_context_options), .threads = threads};
}

inline ContextHandle make_context(const metallic_context_options& wanted) {
  metallic_context* context = nullptr;
  EXPECT_EQ(metallic_context_create(&wanted, &context), METALLIC_OK) << metallic_last_error();
  return ContextHandle(context);
}

inline metallic_problem from_label(const std::string& label) {
  metallic_problem problem{.struct_size = sizeof(problem)};
  EXPECT_EQ(metallic_problem_from_label(label.c_str(), &problem), METALLIC_OK) << metallic_last_error();
  return problem;
}

inline PlanHandle make_plan(metallic_context* context, const metallic_problem& problem) {
  metallic_plan* plan = nullptr;
  EXPECT_EQ(metallic_plan_create(context, &problem, &plan), METALLIC_OK) << metallic_last_error();
  return PlanHandle(plan);
}

inline metallic_tensors tensors(const void* a, const void* b, void* out) {
  return {sizeof(metallic_tensors), a, b, nullptr, out};
}

// A plan's scratch memory, aligned to 64.
class Scratch {
 public:
  explicit Scratch(const metallic_plan* plan) {
    EXPECT_EQ(metallic_plan_workspace(plan, &bytes_), METALLIC_OK);
    memory_.resize(bytes_ + 63);
  }
  void* data() { return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory_.data()) + 63) / 64 * 64); }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
  std::vector<char> memory_;
};

inline metallic_status run(const metallic_plan* plan, const metallic_tensors& operands) {
  Scratch scratch(plan);
  return metallic_plan_run(plan, &operands, scratch.data(), scratch.bytes());
}

inline std::vector<float> random_floats(int64_t bytes, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(bytes) / sizeof(float));
  fill_random(DType::f32, values.data(), values.size(), seed);
  return values;
}

inline nlohmann::json explain(const metallic_plan* plan) {
  const char* text = nullptr;
  EXPECT_EQ(metallic_plan_explain(plan, &text), METALLIC_OK);
  return nlohmann::json::parse(text);
}

// An executor that runs each task on the calling thread and counts its calls.
struct Counting {
  std::atomic<int> calls{0};
  std::atomic<size_t> tasks{0};
  metallic_executor as_executor(int threads) {
    return {.struct_size = sizeof(metallic_executor),
            .user = this,
            .threads = threads,
            .parallel = [](void* user, size_t count, void (*task)(void*, size_t), void* context) {
              auto* self = static_cast<Counting*>(user);
              ++self->calls;
              self->tasks += count;
              for (size_t i = 0; i < count; ++i) task(context, i);
            }};
  }
};

class CApi : public testing::Test {
  Variable no_profile_{"METALLIC_PROFILE", "none"};  // the user's must not decide what is tested
};

// Expects a call to have failed, and what the error says.
#define EXPECT_FAILS(call, status, ...)                             \
  do {                                                              \
    EXPECT_EQ((call), status);                                      \
    const std::string message = metallic_last_error();              \
    EXPECT_THAT(message, AllOf(__VA_ARGS__));                       \
    EXPECT_EQ(message.find('\n'), std::string::npos) << "one line"; \
  } while (false)

}  // namespace metallic
