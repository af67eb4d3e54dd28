// SPDX-License-Identifier: Apache-2.0
// Parts of a configuration: each is read from its own keys. Every function completes a model whose hidden size, layers and
// context are known.
#pragma once

#include "tuner/workloads/config_keys.h"
#include "tuner/workloads/model.h"

namespace metallic {

inline constexpr size_t kMostConfigBytes = 1 << 20;
inline constexpr int64_t kWidest = 1 << 20;   // hidden and feed-forward sizes, and all heads together
inline constexpr int64_t kLargest = 1 << 24;  // vocabularies and contexts
inline constexpr int64_t kMostHeads = 65536;  // heads, layers and experts

Status read_attention(const ConfigKeys& keys, ModelConfig& model);
Status read_feed_forward(const ConfigKeys& keys, ModelConfig& model);

}  // namespace metallic
