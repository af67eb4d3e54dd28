// SPDX-License-Identifier: Apache-2.0
// Split-K over the blocks of a cluster: when it applies, and its name in a reduction order.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>

#include "device/info.h"

namespace metallic::matmul {

inline constexpr int kMaxSplitK = 8;  ///< blocks of a cluster: the largest portable size

/// Why `split` blocks do not share `k_steps` steps of K, or nothing; `tiles`: tiles of C.
inline std::optional<std::string> refuses_split_k(int64_t split, int64_t k_steps, int64_t tiles, const DeviceInfo& device) {
  if (split == 1) return std::nullopt;
  if (device.cuda().sm_version < 90) return "clusters of blocks need compute capability 9.0";
  if (split > k_steps) return "K has fewer steps than blocks that share it";
  if (split * tiles > 8 * device.cuda().num_sms) return "K is shared where tiles are few";
  return std::nullopt;
}

/// What split-K adds to the name of a reduction order.
inline std::string split_k_order(int64_t split) { return split == 1 ? "" : fmt::format("split={};", split); }

}  // namespace metallic::matmul
