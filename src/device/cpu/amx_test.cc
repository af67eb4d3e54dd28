// SPDX-License-Identifier: Apache-2.0
// Tests when this process asks Linux for AMX tiles, each in a process of its own, because an answer is kept.
#include "device/cpu/amx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "device/cpu/cpu_info.h"

namespace metallic::cpu {
namespace {

// Whether a thread may have an alternate signal stack without room for tiles.
bool may_have_small_stack(std::vector<char>& stack) {
  const stack_t small{.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
  return sigaltstack(&small, nullptr) == 0;
}

class Amx : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    if (!has_amx()) GTEST_SKIP() << "no AMX here";
  }
  std::vector<char> stack_ = std::vector<char>(8192);
};

TEST_F(Amx, IsNotAskedForToDescribeTheCpu) {
  EXPECT_EXIT(
      {
        const bool known = device().cpu().amx;
        _exit(known && may_have_small_stack(stack_) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(Amx, IsGrantedOnRequest) {
  EXPECT_EXIT(
      {
        const bool granted = request_amx().has_value() && request_amx().has_value() && !amx_refusal();
        _exit(granted && !may_have_small_stack(stack_) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(Amx, IsDeniedIfASignalStackIsTooSmall) {
  EXPECT_EXIT(
      {
        if (!may_have_small_stack(stack_)) _exit(2);
        const Status asked = request_amx();
        if (asked || asked.error().code != Code::unsupported || amx_refusal() != asked.error().message) _exit(1);
        _exit(asked.error().message.find("alternate signal stack") != std::string::npos ? 0 : 3);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace metallic::cpu
