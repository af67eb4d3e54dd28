// SPDX-License-Identifier: Apache-2.0
// Writes the thresholds of a profile as a C header, for dispatchers with compiled-in constants.
#pragma once

#include <string>

#include "base/status.h"
#include "profile/profile.h"

namespace metallic {

/// A header for C11 and C++11 with one 64-bit constant for each threshold. The name of a constant says what it holds for, e.g.
/// `metallic_softmax_vec_block_f32_contiguous_threads2_rows_le_22`; comments give interval, regret, device and date. Errors: a
/// profile without thresholds, or two thresholds of the same name.
Result<std::string> constants_header(const Profile& profile);

}  // namespace metallic
