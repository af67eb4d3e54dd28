// SPDX-License-Identifier: Apache-2.0
// Every variant × tuning × ISA of this machine on the quick cases: a new variant is tested by being there.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <map>

#include "device/cpu/cpu_info.h"
#include "device/cuda/cuda_devices.h"
#include "device/peers/cpu_libraries.h"
#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/operation.h"
#include "ops/registry.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/shape.h"
#include "tuner/verify/cuda_run.h"
#include "tuner/verify/oracle.h"
#include "tuner/verify/trial.h"

namespace metallic::validation {
namespace {

struct Types {
  Op op;
  DType dtype, out_dtype;

  friend std::ostream& operator<<(std::ostream& out, const Types& types) {
    return out << types.op->name << ' ' << name(types.dtype) << " to " << name(types.out_dtype);
  }
};

class Variants : public testing::TestWithParam<Types> {};

TEST_P(Variants, AgreeWithTheDefinition) {
  const auto [op, dtype, out_dtype] = GetParam();
  DeviceInfo device = cpu::device();
  device.libraries = cpu::libraries();
  const auto all = instances(op, device);
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

class CudaVariants : public testing::TestWithParam<Types> {};

TEST_P(CudaVariants, AgreeWithTheDefinition) {
  const auto devices = cuda::devices();
  if (devices.empty()) GTEST_SKIP() << "this machine has no CUDA device";
  const auto [op, dtype, out_dtype] = GetParam();
  const auto stream = cuda::make_stream(devices.front());
  ASSERT_TRUE(stream) << stream.error().message;
  for (Case& each : cases(op, dtype, out_dtype, Depth::quick)) {
    each.problem.threads = 1;
    Trial trial(each);
    for (const Instance& instance : instances(op, devices.front())) {
      if (!trial.concerns(instance)) continue;
      const auto wrong = trial.run(instance, **stream);
      ASSERT_FALSE(wrong) << trial.describe(instance) << ": " << *wrong;
    }
  }
}

// Bits of the first row of out, by reduction_id: those of one id are the same however many rows are beside it.
void check_first_row(const Problem& problem, const DeviceInfo& device, Executor& executor, const Args& args, size_t row_bytes,
                     std::map<std::string, std::vector<std::byte>>& seen) {
  AnyPlanner planner(device);
  for (const Instance& instance : instances(problem.op(), device)) {
    const auto id = instance.variant->reduction_id(problem, instance.tuning, device);
    if (!id || instance.variant->rejects(problem, instance.tuning, device)) continue;
    const auto kernel = instance.variant->prepare(problem, instance.tuning, device, planner);
    ASSERT_TRUE(kernel) << kernel.error().message;
    const auto wrong = run_on_device(**kernel, args, operand_bytes(problem), executor);
    ASSERT_FALSE(wrong) << *wrong;
    const auto* row = static_cast<const std::byte*>(args.out);
    const auto [first, is_new] = seen.try_emplace(*id, row, row + row_bytes);
    ASSERT_TRUE(is_new || std::memcmp(first->second.data(), row, row_bytes) == 0)
        << to_string(*instance.variant, instance.tuning) << " on " << label(problem) << ": other bits for " << *id;
  }
}

TEST(CudaBatches, ARowHasTheSameBitsHoweverManyAreBesideIt) {
  const auto devices = cuda::devices();
  if (devices.empty()) GTEST_SKIP() << "this machine has no CUDA device";
  const DeviceInfo& device = devices.front();
  const auto stream = cuda::make_stream(device);
  ASSERT_TRUE(stream) << stream.error().message;
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int64_t k : {1000, 1001, 4096, 33000}) {
      const auto size = static_cast<int64_t>(size_of(dtype));
      constexpr int64_t kOutputs = 320, kBatch = 256;
      const auto bytes = static_cast<size_t>(std::max(kBatch, kOutputs) * std::max(k, kOutputs) * size);
      // 16-byte aligned, as tensors are.
      std::vector<std::max_align_t> x(bytes / sizeof(std::max_align_t) + 1), w(x.size()), out(x.size());
      fill_random(dtype, x.data(), bytes / static_cast<size_t>(size), 1);
      fill_random(dtype, w.data(), bytes / static_cast<size_t>(size), 2);
      std::map<std::string, std::vector<std::byte>> products, rows;
      for (const int64_t batch : {1, 2, 7, 16, 64, 256}) {
        ASSERT_NO_FATAL_FAILURE(check_first_row(with_dtype(matmul_problem(batch, k, kOutputs, false, true), dtype), device,
                                                **stream, {.in = {x.data(), w.data(), w.data()}, .out = out.data()},
                                                static_cast<size_t>(kOutputs * size), products));
        ASSERT_NO_FATAL_FAILURE(check_first_row(with_dtype(softmax_problem(batch, k), dtype), device, **stream,
                                                {.in = {x.data(), w.data(), w.data()}, .out = out.data()},
                                                static_cast<size_t>(k * size), rows));
      }
      EXPECT_GE(products.size(), 2u);
      EXPECT_GE(rows.size(), 1u);
    }
}

// Each variant on random operands, of which 1000 results are compared.
void expect_right(const Problem& problem, const DeviceInfo& device, Executor& stream) {
  const auto bytes = operand_bytes(problem);
  std::vector<std::vector<std::max_align_t>> operands;
  for (const int64_t each : bytes) {
    operands.emplace_back(static_cast<size_t>(each) / sizeof(std::max_align_t) + 1);
    fill_random(problem.dtype, operands.back().data(), static_cast<size_t>(each) / size_of(problem.dtype), operands.size());
  }
  const Args args{.in = {operands[0].data(), operands[1].data(), operands[2].data()}, .out = operands[kOut].data()};
  const Expectation expected(problem, args, nullptr, 1000, 1);
  AnyPlanner planner(device);
  for (const Instance& instance : instances(problem.op(), device)) {
    if (instance.variant->rejects(problem, instance.tuning, device)) continue;
    const auto kernel = instance.variant->prepare(problem, instance.tuning, device, planner);
    ASSERT_TRUE(kernel) << kernel.error().message;
    std::memset(args.out, 0, static_cast<size_t>(bytes[kOut]));
    const auto failed = run_on_device(**kernel, args, bytes, stream);
    ASSERT_FALSE(failed) << *failed;
    const auto wrong = expected.first_difference(args.out);
    ASSERT_FALSE(wrong) << to_string(*instance.variant, instance.tuning) << " on " << label(problem) << ": " << *wrong;
  }
}

// Places in tensors are 64 bits wide: a fifth of these elements lie beyond what 32 count.
TEST(CudaLarge, MoreElementsThan32BitsCount) {
  const auto devices = cuda::devices();
  if (devices.empty()) GTEST_SKIP() << "this machine has no CUDA device";
  const DeviceInfo& device = devices.front();
  if (device.memory_bytes < int64_t{16} << 30) GTEST_SKIP() << "the device has too little memory";
  const auto stream = cuda::make_stream(device);
  ASSERT_TRUE(stream) << stream.error().message;
  for (const Problem& problem : {softmax_problem(80000, 32776), matmul_problem(2, 4096, 640000, false, true)})
    expect_right(with_dtype(problem, DType::bf16), device, **stream);
}

// A grid goes through the rows in turns, and a cluster of blocks has a row.
TEST(CudaTurns, MoreRowsThanRunAtOnce) {
  const auto devices = cuda::devices();
  if (devices.empty()) GTEST_SKIP() << "this machine has no CUDA device";
  const auto stream = cuda::make_stream(devices.front());
  ASSERT_TRUE(stream) << stream.error().message;
  for (const char* text : {"rows1500_seqk9001", "rows700_seqk65536", "rows300_seqk120003", "batch2_seqq800_seqk13000_causal",
                           "batch1_seqq300_seqk40000_causal"})
    for (const DType dtype : {DType::f32, DType::bf16})
      expect_right(with_dtype(*parse_label(text), dtype), devices.front(), **stream);
}

std::vector<Types> all_types() {
  std::vector<Types> all;
  for (const Op op : operations())
    for (const DType in : kDTypes)
      for (const DType out : kDTypes)
        if (in == out || in == DType::f32 || out == DType::f32) all.push_back({op, in, out});
  return all;
}

std::string test_name(const testing::TestParamInfo<Types>& info) {
  return std::string(name(info.param.op)) + "_" + std::string(name(info.param.dtype)) + "_" +
         std::string(name(info.param.out_dtype));
}

std::vector<Types> cuda_types() {
  std::vector<Types> all = all_types();
  std::erase_if(all, [](const Types& types) { return types.op == kSdpa; });
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, Variants, testing::ValuesIn(all_types()), test_name);
INSTANTIATE_TEST_SUITE_P(All, CudaVariants, testing::ValuesIn(cuda_types()), test_name);

}  // namespace
}  // namespace metallic::validation
