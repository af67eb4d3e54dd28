// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "operations.h"

namespace {

class Plain final : public Operations {
 public:
  void project(const Weights& w, const Tensor& x, int64_t tokens, float* y) override {
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t o = 0; o < w.out; ++o) {
        double sum = 0;
        for (int64_t i = 0; i < w.in; ++i) sum += double{x.get(t * w.in + i)} * w.values.get(o * w.in + i);
        y[t * w.out + o] = static_cast<float>(sum);
      }
  }

  void attend(const Attention& s, const Tensor& q, const Tensor& keys, const Tensor& values, float* out) override {
    const double scale = 1 / std::sqrt(static_cast<double>(s.head_dim));
    std::vector<double> p(static_cast<size_t>(s.seq_k));
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t i = 0; i < s.seq_q; ++i)
        for (int64_t h = 0; h < s.heads; ++h) {
          const int64_t query = ((b * s.seq_q + i) * s.heads + h) * s.head_dim;
          const int64_t shared = h / (s.heads / s.kv_heads);
          const auto row = [&](int64_t j) { return ((b * s.capacity + j) * s.kv_heads + shared) * s.head_dim; };
          const int64_t visible = s.seq_k - s.seq_q + i + 1;
          double largest = -INFINITY, total = 0;
          for (int64_t j = 0; j < visible; ++j) {
            p[j] = 0;
            for (int64_t d = 0; d < s.head_dim; ++d) p[j] += double{q.get(query + d)} * keys.get(row(j) + d);
            largest = std::max(largest, p[j] *= scale);
          }
          for (int64_t j = 0; j < visible; ++j) total += p[j] = std::exp(p[j] - largest);
          for (int64_t d = 0; d < s.head_dim; ++d) {
            double sum = 0;
            for (int64_t j = 0; j < visible; ++j) sum += p[j] * values.get(row(j) + d);
            out[query + d] = static_cast<float>(sum / total);
          }
        }
  }
};

}  // namespace

std::unique_ptr<Operations> plain_operations() { return std::make_unique<Plain>(); }
