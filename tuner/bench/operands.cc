// SPDX-License-Identifier: Apache-2.0
// Lays out the operands of all problems in one buffer and hands out the addresses of each call.
#include "tuner/bench/operands.h"

#include <algorithm>
#include <random>
#include <utility>

#include "ops/operation.h"
#include "tuner/operation/operation.h"
#include "tuner/verify/oracle.h"

namespace metallic {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kJitter = 16 * kPage;  // range of random addresses

constexpr size_t round_to_pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

bool is_cold(const Problem& problem, Cache cache, size_t operand) {
  return cache == Cache::cold && tuner_operation(problem.op()).is_cold(problem, operand);
}

}  // namespace

std::vector<Cache> usual_caches(Op op) {
  return tuner_operation(op).timed_warm ? std::vector{Cache::warm, Cache::cold} : std::vector{Cache::cold};
}

std::string_view name(Cache cache) { return cache == Cache::warm ? "warm" : "cold"; }

Result<Operands> Operands::create(std::span<const OperandUse> uses, const DeviceInfo& device, int64_t cold_bytes, uint64_t seed,
                                  std::optional<int> shared_file) {
  Operands operands;
  operands.cold_bytes_ = static_cast<size_t>(cold_bytes);
  std::array<std::array<size_t, 4>, kDTypes.size()> sizes{};
  size_t scratch = 0, total = 0;
  for (const OperandUse& use : uses) {
    const auto bytes = operand_bytes(use.problem);
    for (size_t i = 0; i < bytes.size(); ++i) {
      size_t& size = sizes[i == kOut ? 0 : static_cast<size_t>(use.problem.dtype)][i];
      size = std::max(size,
                      static_cast<size_t>(bytes[i]) + kJitter + (is_cold(use.problem, use.cache, i) ? operands.cold_bytes_ : 0));
    }
    scratch = std::max(scratch, use.workspace);
  }
  std::array<std::array<size_t, 4>, kDTypes.size()> offsets{};
  for (size_t type = 0; type < sizes.size(); ++type)
    for (size_t i = 0; i < 4; ++i) offsets[type][i] = std::exchange(total, total + round_to_pages(sizes[type][i]));
  const size_t workspace_offset = std::exchange(total, total + scratch);
  if (device.memory_bytes > 0 && static_cast<double>(total) > 0.8 * static_cast<double>(device.memory_bytes))
    return fail(Code::out_of_memory,
                "the problems need {:.1f} GiB of operands and this machine has {:.1f} GiB: use smaller shapes",
                static_cast<double>(total) / (1 << 30), static_cast<double>(device.memory_bytes) / (1 << 30));
  if (shared_file) {
    METALLIC_TRY(operands.memory_, Buffer::shared(*shared_file, total));
  } else {
    operands.memory_ = Buffer(total);
  }
  for (const DType dtype : kDTypes)
    for (size_t i = 0; i < 4; ++i) {
      const auto type = static_cast<size_t>(dtype);
      std::byte* region = operands.regions_[type][i] = operands.memory_.data() + offsets[type][i];
      fill_random(dtype, region, sizes[type][i] / size_of(dtype), seed + i);  // also touches all pages before any timing
    }
  operands.workspace_ = operands.memory_.data() + workspace_offset;
  return operands;
}

void Operands::align(uint64_t random) {
  std::mt19937_64 generator(random);
  for (size_t& offset : offsets_) {
    const size_t grain = generator() % 4 == 0 ? 16 : 64;
    offset = generator() % (kJitter / grain) * grain;
  }
}

void Operands::seek(int64_t position) { position_ = round_to_pages(std::min(static_cast<size_t>(position), cold_bytes_)); }

Args Operands::next(const Problem& problem, Cache cache) {
  const auto bytes = operand_bytes(problem);
  size_t step = 0;
  for (size_t i = 0; i < bytes.size(); ++i)
    if (is_cold(problem, cache, i)) step = std::max(step, round_to_pages(static_cast<size_t>(bytes[i])));
  if (position_ >= cold_bytes_) position_ = 0;
  const auto at = [&](size_t i) {
    std::byte* region = regions_[i == kOut ? 0 : static_cast<size_t>(problem.dtype)][i];
    return region + offsets_[i] + (is_cold(problem, cache, i) ? position_ : 0);
  };
  const Args args{.in = {at(0), at(1), at(2)}, .out = at(kOut)};
  position_ += step;
  return args;
}

std::vector<std::byte> prepare_output(const Problem& problem, const Args& args, uint64_t seed) {
  const auto bytes = static_cast<size_t>(operand_bytes(problem)[kOut]);
  auto* out = static_cast<std::byte*>(args.out);
  if (!problem.op()->reads_output(problem)) {
    std::fill_n(out, bytes, std::byte{0xff});  // NaN in every type
    return {};
  }
  fill_random(problem.out_dtype, out, bytes / size_of(problem.out_dtype), seed);
  return {out, out + bytes};
}

}  // namespace metallic
