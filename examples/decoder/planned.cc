// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <metallic/metallic.hpp>
#include <tuple>

#include "operations.h"

namespace {

// One plan for each shape, shared by all layers, and one workspace for all plans: what runs twice allocates nothing.
class Planned final : public Operations {
 public:
  void project(const Weights& w, const Tensor& x, int64_t tokens, float* y) override {
    const mtl::Plan& plan =
        cached({tokens, w.in, w.out}, x.storage(), [&] { return mtl::matmul(tokens, w.in, w.out).transpose_b(); });
    plan.run(x.data(), w.values.data(), y, workspace_for(plan));
  }

  void attend(const Attention& s, const Tensor& q, const Tensor& keys, const Tensor& values, float* out) override {
    const mtl::Plan& plan = cached({s.batch, s.seq_q, s.seq_k, s.capacity, s.heads, s.kv_heads, s.head_dim}, q.storage(), [&] {
      // Tokens lie one after the other, each with all of its heads; a sequence's cache is longer than what is in it.
      const metallic_strides queries = {s.seq_q * s.heads * s.head_dim, s.head_dim, s.heads * s.head_dim};
      const metallic_strides cache = {s.capacity * s.kv_heads * s.head_dim, s.head_dim, s.kv_heads * s.head_dim};
      return mtl::sdpa(s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_k, s.head_dim)
          .causal()
          .strides(queries, cache, cache, queries);
    });
    plan.run(q.data(), keys.data(), values.data(), out, workspace_for(plan));
  }

 private:
  using Key = std::pair<Storage, std::vector<int64_t>>;

  template <typename MakeShape>
  const mtl::Plan& cached(std::vector<int64_t> sizes, Storage storage, const MakeShape& make_shape) {
    const auto [at, added] = plans_.try_emplace({storage, std::move(sizes)});
    if (added) {
      const metallic_dtype in = storage == Storage::f32 ? METALLIC_F32 : METALLIC_BF16;
      at->second = std::make_unique<mtl::Plan>(context_.plan(make_shape().dtype(in, METALLIC_F32)));
    }
    return *at->second;
  }

  const mtl::Workspace& workspace_for(const mtl::Plan& plan) {
    if (const size_t bytes = plan.workspace_bytes(); bytes > workspace_.bytes()) workspace_ = mtl::Workspace(bytes);
    return workspace_;
  }

  mtl::Context context_;
  std::map<Key, std::unique_ptr<mtl::Plan>> plans_;
  mtl::Workspace workspace_{0};
};

}  // namespace

std::unique_ptr<Operations> planned_operations() { return std::make_unique<Planned>(); }
