// SPDX-License-Identifier: Apache-2.0
// A decoder of Llama's kind with seeded random weights.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor.h"

struct Config {
  int64_t vocabulary = 320;
  int64_t hidden = 256;
  int64_t intermediate = 688;
  int64_t layers = 3;
  int64_t heads = 8;
  int64_t kv_heads = 2;  ///< each serves heads / kv_heads query heads
  bool tied = false;     ///< the lm_head is the embedding

  int64_t head_dim() const { return hidden / heads; }
};

/// A projection's weights, [out, in] as checkpoints have them.
struct Weights {
  int64_t out, in;
  Tensor values;
};

struct Layer {
  std::vector<float> attention_norm, mlp_norm;
  Weights q, k, v, o;
  Weights gate, up, down;
};

struct Model {
  Config config;
  Storage storage;
  Weights embedding;  ///< [vocabulary, hidden]
  std::vector<Layer> layers;
  std::vector<float> final_norm;
  std::vector<Weights> untied_lm_head;  ///< one, or none where it is tied

  const Weights& lm_head() const { return config.tied ? embedding : untied_lm_head.front(); }
};

/// Weights of variance 1 / in, so that activations keep their size; the same for the same seed everywhere.
Model make_model(const Config& config, Storage storage, uint64_t seed);
