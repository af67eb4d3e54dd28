// SPDX-License-Identifier: Apache-2.0
// Labels: the one-word names of problems that benchmarks, files and people share.
//
//   softmax   rows{R}_seqk{K} | batch{B}_seqq{Q}_seqk{K}[_causal][_offset{O}]
//   matmul    [batch{B}_]{M}x{K}x{N}[_ta][_tb|_packed][_a{alpha}_b{beta}]
//   sdpa      batch{B}_h{H}kv{G}_seqq{Q}_seqk{K}_d{D}[_causal][_offset{O}]
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ops/problem.h"

namespace metallic {

/// The label of a problem. It omits types, strides other than the contiguous ones, and a scale other than the default.
std::string label(const Problem& problem);

/// Parses a label, which also determines the operation. Errors name the column (from 1) and what is expected there.
Result<Problem> parse_label(std::string_view text);

/// The problems of a label whose numbers may be ranges: `64..8192` (powers of two), `64..8192:64` (step), `64+96+128` (list).
/// Several ranges give all combinations; the last varies fastest. At most 10,000 problems.
Result<std::vector<Problem>> parse_labels(std::string_view text);

}  // namespace metallic
