// SPDX-License-Identifier: Apache-2.0
// The decoder itself: plain C++ around the two operations, with a cache of keys and values per layer.
#pragma once

#include "operations.h"

class Decoder {
 public:
  /// Sequences of up to `capacity` tokens; `model` outlives the decoder.
  Decoder(const Model& model, std::unique_ptr<Operations> operations, int64_t batch, int64_t capacity);

  /// Takes the next tokens of each sequence, [batch, count], and gives the logits that follow each: [batch, count, vocabulary].
  std::vector<float> forward(const std::vector<int64_t>& tokens);

 private:
  std::vector<float> project(const Weights& weights, const std::vector<float>& x);
  void attention(const Layer& layer, size_t index, std::vector<float>& x);
  void mlp(const Layer& layer, std::vector<float>& x);
  std::vector<float> norm(const std::vector<float>& x, const std::vector<float>& factors) const;
  void rotate(std::vector<float>& x, int64_t heads) const;
  void remember(Tensor& cache, const std::vector<float>& x) const;

  const Model& model_;
  std::unique_ptr<Operations> operations_;
  int64_t batch_, capacity_;
  int64_t past_ = 0;                   // tokens in the cache
  int64_t count_ = 0;                  // tokens of each sequence in this call
  std::vector<Tensor> keys_, values_;  // of each layer: [batch, capacity, kv_heads, head_dim]
};
