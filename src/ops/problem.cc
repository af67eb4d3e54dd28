// SPDX-License-Identifier: Apache-2.0
#include "ops/problem.h"

#include <algorithm>

#include "ops/extents.h"
#include "ops/operation.h"

namespace metallic {

Problem with_dtype(Problem problem, DType dtype) {
  problem.dtype = problem.out_dtype = dtype;
  return problem;
}

Status validate(const Problem& problem) {
  if (!problem.op()) return fail(Code::invalid_argument, "a problem needs an operation");
  const Operation& operation = *problem.op();
  METALLIC_CHECK(operation.validate(problem));
  if (!operation.surely_addressable(problem) && std::ranges::count(operation.operand_bytes(problem), kTooManyBytes) > 0)
    return fail(Code::out_of_memory, "{} operands need more bytes than a 64-bit machine addresses: use a smaller shape",
                operation.name);
  if (problem.dtype != problem.out_dtype && problem.dtype != DType::f32 && problem.out_dtype != DType::f32)
    return fail(Code::invalid_argument, "inputs are {} and the output is {}: use one type, or f32 for either",
                name(problem.dtype), name(problem.out_dtype));
  if (problem.threads < 1) return fail(Code::invalid_argument, "threads must be ≥ 1, got {}", problem.threads);
  return {};
}

size_t layout_index(const Problem& problem) { return problem.op()->layout(problem); }

std::string layout(const Problem& problem) { return std::string(problem.op()->layouts[layout_index(problem)]); }

Work work(const Problem& problem) { return problem.op()->work(problem); }

OperandBytes operand_bytes(const Problem& problem) { return problem.op()->operand_bytes(problem); }

std::optional<int64_t> value(const Problem& problem, Axis axis) {
  if (std::ranges::find(problem.op()->axes, axis) == problem.op()->axes.end()) return std::nullopt;
  return axis_values(problem)[static_cast<size_t>(axis)];
}

AxisValues axis_values(const Problem& problem) { return problem.op()->axis_values(problem); }

}  // namespace metallic
