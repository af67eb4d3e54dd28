// SPDX-License-Identifier: Apache-2.0
// Problems in the C interface: conversion, labels, packed weights.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/ranges.h>

#include "dispatch/capi_boundary.h"
#include "dispatch/capi_handles.h"
#include "ops/label.h"
#include "ops/matmul/pack_weights.h"
#include "ops/matmul/packed.h"
#include "ops/matmul/shape.h"
#include "ops/operation.h"
#include "ops/registry.h"

namespace metallic {
namespace {

Result<DType> to_dtype(const metallic_dtype& given, DType otherwise, std::string_view what) {
  switch (stored(given)) {
    case METALLIC_DTYPE_DEFAULT: return otherwise;
    case METALLIC_F32: return DType::f32;
    case METALLIC_F16: return DType::f16;
    case METALLIC_BF16: return DType::bf16;
    default:
      return fail(Code::invalid_argument, "problem->{} is {}: use METALLIC_F32 (1), METALLIC_F16 (2) or METALLIC_BF16 (3)", what,
                  stored(given));
  }
}

// "METALLIC_SOFTMAX (0)"
std::string c_name(Op op) {
  std::string text = fmt::format("METALLIC_{} ({})", op->name, op->order);
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

tl::unexpected<Error> no_such_operation(int number) {
  std::vector<std::string> allowed;
  for (const Op op : operations())
    if (op->from_c) allowed.push_back(c_name(op));
  const std::string last = std::move(allowed.back());
  allowed.pop_back();
  return fail(Code::invalid_argument, "problem->op is {}: use {} or {}", number, fmt::join(allowed, ", "), last);
}

// The inverse of to_problem for a label's problem, whose strides are contiguous and stay 0.
Result<metallic_problem> from_problem(const Problem& problem) {
  if (!problem.op()->to_c)
    return fail(Code::unsupported, "label {} is of {}, which the C interface does not have", label(problem), name(problem.op()));
  const metallic_problem filled = problem.op()->to_c(problem);
  // A batch of 0 means none there: it must not change what is asked for.
  if (filled.batch == 0 && problem.op()->from_c(filled).shape != problem.shape)
    return fail(Code::invalid_argument, "label {} has batch 0, which here counts as 1: use 1 or more", label(problem));
  return filled;
}

Status check_buffer(const void* pointer, int64_t bytes, std::string_view what) {
  if (!pointer && bytes > 0) return fail(Code::invalid_argument, "{} is NULL, {} bytes are needed", what, bytes);
  return {};
}

}  // namespace

Result<Op> to_operation(const metallic_problem& given) {
  const int number = stored(given.op);
  for (const Op op : operations())
    if (op->order == number && op->from_c) return op;
  return no_such_operation(number);
}

Result<Problem> to_problem(const metallic_problem& given) {
  METALLIC_TRY(const Op op, to_operation(given));
  constexpr uint64_t kGiven = METALLIC_GIVEN_ALPHA | METALLIC_GIVEN_SCALE | METALLIC_GIVEN_STRIDES;
  if ((given.given & ~kGiven) != 0)
    return fail(Code::invalid_argument,
                "problem->given is {}: use a sum of METALLIC_GIVEN_ALPHA (1), _SCALE (2) and _STRIDES (4)", given.given);
  Problem problem = op->from_c(given);
  METALLIC_TRY(problem.dtype, to_dtype(given.dtype, DType::f32, "dtype"));
  METALLIC_TRY(problem.out_dtype, to_dtype(given.out_dtype, problem.dtype, "out_dtype"));
  return problem;
}

}  // namespace metallic

using namespace metallic;

extern "C" {

metallic_status metallic_problem_from_label(const char* label, metallic_problem* problem) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(label, "label"));
    METALLIC_TRY(const size_t size, struct_size(problem, "problem"));
    METALLIC_TRY(const Problem parsed, parse_label(label));
    METALLIC_TRY(metallic_problem filled, from_problem(parsed));
    filled.struct_size = size;
    const auto* const bytes = reinterpret_cast<const std::byte*>(&filled);
    if (size < sizeof(filled) && std::any_of(bytes + size, bytes + sizeof(filled), [](std::byte b) { return b != std::byte{0}; }))
      return fail(Code::unsupported,
                  "label {} needs a member that this metallic_problem is too old for: compile with a newer header",
                  in_quotes(label));
    std::memcpy(problem, &filled, std::min(size, sizeof(filled)));
    return {};
  });
}

const char* metallic_packed_layout(metallic_dtype dtype) {
  const auto known = to_dtype(dtype, DType::f32, "dtype");
  return known ? packed_layout(*known).data() : nullptr;  // a literal, so that it ends in a NUL
}

metallic_status metallic_packed_bytes(const metallic_problem* problem, size_t* bytes) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(bytes, "bytes"));
    METALLIC_TRY(const metallic_problem given, known_part(problem, "problem"));
    METALLIC_TRY(const Problem wanted, to_problem(given));
    METALLIC_TRY(const int64_t needed, matmul::packed_bytes(wanted));
    *bytes = static_cast<size_t>(needed);
    return {};
  });
}

metallic_status metallic_pack(metallic_context* context, const metallic_problem* problem, const void* b, void* packed) {
  return at_boundary([&]() -> Status {
    METALLIC_CHECK(need(context, "context"));
    METALLIC_TRY(const metallic_problem given, known_part(problem, "problem"));
    METALLIC_TRY(const Problem wanted, to_problem(given));
    METALLIC_TRY(const int64_t bytes, matmul::packed_bytes(wanted));
    if (context->shared->context->executor().stream())
      return fail(Code::unsupported, "GPU kernels take no packed weights: give them B as it is");
    METALLIC_CHECK(check_buffer(b, operand_bytes(wanted)[1], "b"));
    METALLIC_CHECK(check_buffer(packed, bytes, "packed"));
    return matmul::pack_weights(wanted, b, packed, context->shared->context->executor());
  });
}

}  // extern "C"
