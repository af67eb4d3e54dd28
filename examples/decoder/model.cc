// SPDX-License-Identifier: Apache-2.0
#include "model.h"

#include <cmath>

namespace {

// Uniform in [-1, 1): splitmix64, since the standard library's distributions differ between implementations.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  float next() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return static_cast<float>(x >> 40) * 0x1p-23f - 1;
  }

 private:
  uint64_t state_;
};

Weights random_weights(Random& random, Storage storage, int64_t out, int64_t in) {
  Tensor values(storage, static_cast<size_t>(out * in));
  const float scale = std::sqrt(3.0f / static_cast<float>(in));  // a uniform number has variance 1/3
  for (size_t i = 0; i < static_cast<size_t>(out * in); ++i) values.set(i, scale * random.next());
  return {out, in, std::move(values)};
}

std::vector<float> random_norm(Random& random, int64_t size) {
  std::vector<float> factors(static_cast<size_t>(size));
  for (float& factor : factors) factor = 1 + 0.1f * random.next();
  return factors;
}

}  // namespace

Model make_model(const Config& c, Storage storage, uint64_t seed) {
  Random random(seed);
  const auto weights = [&](int64_t out, int64_t in) { return random_weights(random, storage, out, in); };
  const auto norm = [&] { return random_norm(random, c.hidden); };
  Model model{c, storage, weights(c.vocabulary, c.hidden), {}, norm(), {}};
  const int64_t kv = c.kv_heads * c.head_dim();
  for (int64_t i = 0; i < c.layers; ++i)
    model.layers.push_back({norm(), norm(), weights(c.hidden, c.hidden), weights(kv, c.hidden), weights(kv, c.hidden),
                            weights(c.hidden, c.hidden), weights(c.intermediate, c.hidden), weights(c.intermediate, c.hidden),
                            weights(c.hidden, c.intermediate)});
  if (!c.tied) model.untied_lm_head.push_back(weights(c.vocabulary, c.hidden));
  return model;
}
