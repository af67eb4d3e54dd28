// A profile's thresholds as a header of constants, for dispatchers that have theirs compiled in.
#pragma once

#include <string>

#include "base/status.h"
#include "profile/profile.h"

namespace metallic {

/// A header for C (11) and C++ (11) with one 64-bit constant a threshold, named by what it holds for, e.g.
/// `metallic_softmax_vec_block_f32_contiguous_threads2_rows_le_22`; comments give interval, regret, device and date. Refuses a
/// profile without thresholds, and one in which two would have the same name.
Result<std::string> constants_header(const Profile& profile);

}  // namespace metallic
