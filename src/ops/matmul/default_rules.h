// SPDX-License-Identifier: Apache-2.0
// The built-in rules of matmul, and the reduction orders of its batch-invariant plans.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "ops/operation.h"

namespace metallic::matmul {

/// METALLIC_MATMUL_SMALLN_MAX_N, METALLIC_MATMUL_SIMD_M_MIN, METALLIC_MATMUL_SIMD_N_MIN.
extern const std::array<LimitVariable, 3> kLimits;

/// The tuning guide's: GEMV for small N, else GEMM, packed if both big and n are large. Tunings are the variants' own preference,
/// but for `pack`. If the device has instructions for the type, variants that use them come first.
std::vector<Rule> default_rules(const RuleKey& key, const DeviceInfo& device, const Limits& overrides);

std::span<const CanonicalOrder> canonical_orders(std::string_view backend);

}  // namespace metallic::matmul
