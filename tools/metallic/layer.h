// SPDX-License-Identifier: Apache-2.0
// metallic bench --layer: times a decoder layer, one operation after the other, with kernels from several sources.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "tools/metallic/exit.h"
#include "tools/metallic/options.h"

namespace metallic::cli {

struct LayerOptions {
  bool wanted = false;
  int64_t context = 2048;  ///< sequence length when decoding
  int64_t prompt = 128;    ///< tokens of the prefill
};

/// Times one layer of a model when decoding a token and for a prompt, with all setups in random order. Prints the time of each
/// operation and the tokens per second of the whole model.
Result<Exit> bench_layer(const std::string& model, const std::string& dtype, const SampleOptions& sampling,
                         const LayerOptions& layer, bool json);

}  // namespace metallic::cli
