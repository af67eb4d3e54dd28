// SPDX-License-Identifier: Apache-2.0
// A problem: everything about one call of an operation that can affect the choice of a kernel, as a plain printable struct.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/status.h"
#include "ops/axis.h"
#include "ops/shape.h"

namespace metallic {

struct Problem {
  Shape shape;
  DType dtype = DType::f32;      ///< of the inputs; rules match this type
  DType out_dtype = DType::f32;  ///< of the output: equal to dtype, or one of the two is f32
  int threads = 1;               ///< of the executor that will run it

  Op op() const { return shape.op(); }

  /// The shape as its own type; throws std::logic_error if it is another operation's.
  template <typename S>
  const S& as() const {
    return shape.as<S>();
  }
  template <typename S>
  S& as() {
    return shape.as<S>();
  }

  bool operator==(const Problem&) const = default;
};

/// The same problem with all tensors of one type.
Problem with_dtype(Problem problem, DType dtype);

/// Rejects what the operation rejects (see its shape.h), a mix of f16 and bf16, and operands whose bytes do not fit in 62 bits.
Status validate(const Problem& problem);

/// The layout of a problem as rules see it, one of its operation's layouts. softmax and sdpa: `contiguous|strided`, with
/// `_causal`; matmul: `nn|nt|tn|tt`, or `np|tp` if B is packed, with `_strided`.
std::string layout(const Problem& problem);

/// The position of that layout in its operation's list, below kMostLayouts: an index into tables.
inline constexpr size_t kMostLayouts = 12;
size_t layout_index(const Problem& problem);

/// The work of a call, for throughput and the roofline.
struct Work {
  double operations;  ///< the tuning guide's count: softmax rows·seq_k·3, matmul M·K·N·2, sdpa the sum of its two matmuls
  double flops;       ///< floating-point operations without masked keys; an exp counts as one
  double bytes;       ///< minimum traffic: each visible input read once, each output written once
};
Work work(const Problem& problem);

/// Bytes of the operands as stored, strides included: in[0], in[1], in[2], out. Absent operands have 0.
inline constexpr size_t kOut = 3;
using OperandBytes = std::array<int64_t, 4>;
OperandBytes operand_bytes(const Problem& problem);

/// A problem's value on an axis, or nothing if its operation lacks the axis.
std::optional<int64_t> value(const Problem& problem, Axis axis);

/// The values on all axes.
AxisValues axis_values(const Problem& problem);

}  // namespace metallic
