// metallic bench --layer: a decoder layer as an engine runs it, one operation after the other, by several ways to choose kernels.
#pragma once

#include <cstdint>
#include <string>

#include "tools/metallic/command.h"
#include "tools/metallic/pipeline.h"

namespace metallic::cli {

struct LayerOptions {
  bool wanted = false;
  int64_t context = 2048;  ///< tokens that a decoded one sees
  int64_t prompt = 128;    ///< tokens of the prefill
};

/// Times decoding one token and a prompt through one layer of a model, the ways in random turns, and prints time by operation and
/// the whole model's tokens per second.
Result<Exit> bench_layer(const std::string& model, const std::string& dtype, const SampleOptions& sampling,
                         const LayerOptions& layer, bool json);

}  // namespace metallic::cli
