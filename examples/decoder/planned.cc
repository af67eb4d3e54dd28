// SPDX-License-Identifier: Apache-2.0
#include <metallic/metallic.hpp>

#include "operations.h"

namespace {

// The context keeps one plan for each shape, shared by all layers, and finds its scratch memory.
class Planned final : public Operations {
 public:
  void project(const Weights& w, const Tensor& x, int64_t tokens, float* y) override {
    const auto plan = context_.acquire(typed(metallic::matmul(tokens, w.in, w.out).transpose_b(), x.storage()));
    plan.run(x.data(), w.values.data(), y);
  }

  void attend(const Attention& s, const Tensor& q, const Tensor& keys, const Tensor& values, float* out) override {
    // Each token has all of its heads, one after the other. A sequence's cache is longer than what is in it.
    const metallic_strides queries = {s.seq_q * s.heads * s.head_dim, s.head_dim, s.heads * s.head_dim};
    const metallic_strides cache = {s.capacity * s.kv_heads * s.head_dim, s.head_dim, s.kv_heads * s.head_dim};
    const auto shape = metallic::sdpa(s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_k, s.head_dim)
                           .causal()
                           .strides(queries, cache, cache, queries);
    context_.acquire(typed(shape, q.storage())).run(q.data(), keys.data(), values.data(), out);
  }

 private:
  template <typename Shape>
  static Shape typed(const Shape& shape, Storage storage) {
    return shape.dtype(storage == Storage::f32 ? METALLIC_F32 : METALLIC_BF16, METALLIC_F32);
  }

  metallic::Context context_;
};

}  // namespace

std::unique_ptr<Operations> planned_operations() { return std::make_unique<Planned>(); }
