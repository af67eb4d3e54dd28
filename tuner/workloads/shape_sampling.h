// The survey: shapes around and between those that a model runs, so that rules are known to hold there too.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tuner/workloads/weighted_problems.h"

namespace metallic {

/// For each operation among the problems, with and without a causal mask as they have it, and each element type, without weight:
/// - softmax: a coarse log grid of rows × seq_k with the edges of vectors (±1), and shapes drawn between; causal ones by batch
///
/// - matmul: weights on both sides; a coarse log grid of big × k with n at the edges of the small-N buckets, and shapes drawn
///
/// - sdpa: decoding and prompts with the heads of the first one among the problems
///
/// `drawn` shapes of either usual way of a matmul, half as many of its others and of softmax, a quarter of causal softmax and of
/// sdpa. Log-uniform within the ranges that the problems span, within what one call may cost (2²⁴ elements of an
/// operand, 2²⁹ operations). No shape that is among the problems.
std::vector<WeightedProblem> sample_shapes(std::span<const WeightedProblem> problems, int drawn, uint64_t seed);

/// `count` shapes drawn as the survey draws them, spread evenly over operations and masks, each in every element type that its
/// operation comes in: what rules are scored on that have not seen them.
std::vector<WeightedProblem> sample_held_out_shapes(std::span<const WeightedProblem> problems, size_t count, uint64_t seed);

}  // namespace metallic
