// Operands: the random tensors that timed kernels read and write, used at one place when warm and at a moving one when cold.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "device/info.h"
#include "base/dtype.h"
#include "ops/problem.h"
#include "base/status.h"
#include "ops/variant.h"
#include "tuner/bench/buffer.h"

namespace metallic {

enum class Cache : unsigned char { warm, cold };
std::string_view name(Cache cache);

/// What operands must suffice for.
struct OperandUse {
  const Problem& problem;
  Cache cache;
  size_t workspace = 0;  ///< bytes, the most that any of its kernels wants
};

/// Operands of all problems: a large part of memory for each of in[0], in[1], in[2] and out (inputs one for each type, since
/// random bits of one are no numbers of another), used from its start when warm, and at a moving place when cold.
class Operands {
 public:
  /// Cold operands rotate through `cold_bytes`, see cold.h. Equal seeds give equal numbers. They lie in `shared_file`, where one
  /// is given, so that processes time the same pages. Errors: more bytes than this machine has memory for, or the file may have.
  static Result<Operands> create(std::span<const OperandUse> uses, const DeviceFacts& facts, int64_t cold_bytes, uint64_t seed,
                                 std::optional<int> shared_file = {});

  /// Where operands begin from now on, drawn for each by a random number: at a multiple of 64 bytes within one of 16 pages or,
  /// one time in four, of 16, as malloc gives them. How they lie to one another makes some kernels up to 1.8 times as slow (Zen
  /// 4, softmax in f32): in one place for a whole run, all would be ranked by that.
  void align(uint64_t drawn);

  /// The operands of the next call. Cold ones move on by the largest operand's size, rounded up to a page so that rows keep
  /// their alignment.
  Args next(const Problem& problem, Cache cache);

  /// Where cold operands go on: of who shares their memory, each goes on where the last stopped, as what that one read is warm.
  int64_t place() const { return static_cast<int64_t>(place_); }
  void seek(int64_t place);

  std::byte* workspace() const { return workspace_; }

  /// All of it, for a copy on another device.
  std::span<std::byte> memory() const { return {memory_.data(), memory_.bytes()}; }

 private:
  Buffer memory_;
  std::array<std::array<std::byte*, 4>, kDTypes.size()> parts_{};
  std::byte* workspace_ = nullptr;
  size_t cold_bytes_ = 0;
  size_t place_ = 0;
  std::array<size_t, 4> offsets_{};
};

/// Poisons an output, so that what a wrong or lazy kernel leaves behind shows; where the kernel reads it (beta ≠ 0) it
/// gets random numbers, which are returned.
std::vector<std::byte> prepare_output(const Problem& problem, const Args& args, uint64_t seed);

}  // namespace metallic
