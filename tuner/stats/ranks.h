// SPDX-License-Identifier: Apache-2.0
// Ranks: the place of each value in sorted order, with mean ranks for ties.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace metallic::tune {

/// Twice the rank of each value, counted from 1, so that the mean ranks of ties are integers. The ranks' mean, doubled, is n + 1.
std::vector<int64_t> doubled_ranks(std::span<const double> values);

}  // namespace metallic::tune
