// SPDX-License-Identifier: Apache-2.0
// Layer kinds: how many layers attend to all keys, to a window of them, or not at all.
#pragma once

#include <cstdint>

#include "tuner/workloads/config_keys.h"

namespace metallic {

struct LayerKinds {
  int64_t full = 0;
  int64_t windowed = 0;
  int64_t without = 0;        ///< their mixer is no attention: a state-space model, a convolution
  const char* key = nullptr;  ///< which says so; null: nothing does, and all layers attend to all keys
};

Result<LayerKinds> layer_kinds(const ConfigKeys& keys, int64_t layers);

/// The key with the size of the window, if the model has one; null otherwise.
const char* window_key(const ConfigKeys& keys);

}  // namespace metallic
