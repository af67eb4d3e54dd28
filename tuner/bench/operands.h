// SPDX-License-Identifier: Apache-2.0
// Operands: the random tensors that timed kernels read and write, at a fixed address when warm and at a moving one when cold.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "device/info.h"
#include "ops/problem.h"
#include "ops/variant.h"
#include "tuner/bench/buffer.h"

namespace metallic {

enum class Cache : unsigned char { warm, cold };
std::string_view name(Cache cache);

/// The cache states that an operation is timed in: softmax in both; the weights of a matmul, and K and V of an sdpa, cold, as in
/// decoding.
std::vector<Cache> usual_caches(Op op);

/// A use that operands must be large enough for.
struct OperandUse {
  const Problem& problem;
  Cache cache;
  size_t workspace = 0;  ///< bytes, the maximum over its kernels
};

/// Operands of all problems: one large region of memory for out, and for each of in[0], in[1] and in[2] one per element type. A
/// warm operand is at the start of its region, a cold one at a moving position.
class Operands {
 public:
  /// Cold operands rotate through `cold_bytes`, see cold_cache.h. Equal seeds give equal numbers. With `shared_file` the memory
  /// is that file, so that processes use the same pages. Errors: out_of_memory if this machine has too little memory; io for the
  /// file.
  static Result<Operands> create(std::span<const OperandUse> uses, const DeviceInfo& device, int64_t cold_bytes, uint64_t seed,
                                 std::optional<int> shared_file = {});

  /// Chooses a new address for each operand by a random number: a multiple of 64 bytes within 16 pages or, one time in four, of
  /// 16 bytes, as malloc returns. Relative addresses make some kernels up to 1.8 times as slow (softmax f32 on Zen 4); fixed ones
  /// would bias the ranking of a whole run.
  void align(uint64_t random);

  /// The operands of the next call. Cold ones advance by the largest cold operand's size, rounded up to a page to keep the
  /// alignment.
  Args next(const Problem& problem, Cache cache);

  /// The position of the next cold operands, in bytes. Processes that share memory pass it on: the bytes that one has just read
  /// are warm for the other.
  int64_t position() const { return static_cast<int64_t>(position_); }
  void seek(int64_t position);

  std::byte* workspace() const { return workspace_; }

  /// All memory, to copy it to another device.
  std::span<std::byte> memory() const { return {memory_.data(), memory_.bytes()}; }

 private:
  Buffer memory_;
  std::array<std::array<std::byte*, 4>, kDTypes.size()> regions_{};
  std::byte* workspace_ = nullptr;
  size_t cold_bytes_ = 0;
  size_t position_ = 0;
  std::array<size_t, 4> offsets_{};
};

/// Fills the output with NaN, so that elements that a kernel does not write are detected. If the kernel reads the output (beta ≠
/// 0) it gets random numbers instead, which are returned.
std::vector<std::byte> prepare_output(const Problem& problem, const Args& args, uint64_t seed);

}  // namespace metallic
