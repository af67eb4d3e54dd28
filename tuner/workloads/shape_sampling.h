// SPDX-License-Identifier: Apache-2.0
// Shape sampling: shapes around and between those of a model, so that rules are measured there too.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tuner/workloads/weighted_problems.h"

namespace metallic {

/// Samples shapes for each operation, mask and element type among the problems. They have weight 0 and are not among the
/// problems.
/// - softmax: a coarse log grid of rows × seq_k with the edges of vectors (±1), and random shapes; causal ones with a batch
/// - matmul: weights on either side; a coarse log grid of big × k with n at the edges of the small-N buckets, and random shapes
/// - sdpa: decoding and prompts, with the heads of the first sdpa among the problems
///
/// `random_count` random shapes for either usual orientation of a matmul, half as many for the others and for softmax, a quarter
/// for causal softmax and for sdpa. They are log-uniform within fixed ranges. A call has at most 2²⁴ elements in an operand and
/// 2²⁹ operations.
std::vector<WeightedProblem> sample_shapes(std::span<const WeightedProblem> problems, int random_count, uint64_t seed);

/// `count` random shapes from the same distribution, spread evenly over operations and masks, each in all element types of its
/// operation. Tuning has not seen them, so rules can be scored on them.
std::vector<WeightedProblem> sample_held_out_shapes(std::span<const WeightedProblem> problems, size_t count, uint64_t seed);

}  // namespace metallic
