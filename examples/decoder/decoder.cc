// SPDX-License-Identifier: Apache-2.0
#include "decoder.h"

#include <cmath>
#include <stdexcept>

Decoder::Decoder(const Model& model, std::unique_ptr<Operations> operations, int64_t batch, int64_t capacity)
    : model_(model), operations_(std::move(operations)), batch_(batch), capacity_(capacity) {
  const Config& c = model.config;
  const Tensor empty(model.storage, static_cast<size_t>(batch * capacity * c.kv_heads * c.head_dim()));
  keys_.assign(model.layers.size(), empty);
  values_ = keys_;
}

std::vector<float> Decoder::forward(const std::vector<int64_t>& tokens) {
  const int64_t hidden = model_.config.hidden;
  count_ = static_cast<int64_t>(tokens.size()) / batch_;
  if (past_ + count_ > capacity_) throw std::length_error("the cache is full");
  std::vector<float> x(tokens.size() * static_cast<size_t>(hidden));
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = model_.embedding.values.get(static_cast<size_t>(tokens[i / hidden] * hidden) + i % hidden);
  for (size_t i = 0; i < model_.layers.size(); ++i) {
    attention(model_.layers[i], i, x);
    mlp(model_.layers[i], x);
  }
  past_ += count_;
  return project(model_.lm_head(), norm(x, model_.final_norm));
}

void Decoder::attention(const Layer& layer, size_t index, std::vector<float>& x) {
  const Config& c = model_.config;
  const std::vector<float> h = norm(x, layer.attention_norm);
  std::vector<float> q = project(layer.q, h), k = project(layer.k, h);
  rotate(q, c.heads);
  rotate(k, c.kv_heads);
  remember(keys_[index], k);
  remember(values_[index], project(layer.v, h));
  std::vector<float> mixed(q.size());
  operations_->attend({batch_, count_, past_ + count_, capacity_, c.heads, c.kv_heads, c.head_dim()}, Tensor(model_.storage, q),
                      keys_[index], values_[index], mixed.data());
  const std::vector<float> out = project(layer.o, mixed);
  for (size_t i = 0; i < x.size(); ++i) x[i] += out[i];
}

void Decoder::mlp(const Layer& layer, std::vector<float>& x) {
  const std::vector<float> h = norm(x, layer.mlp_norm), up = project(layer.up, h);
  std::vector<float> gated = project(layer.gate, h);
  for (size_t i = 0; i < gated.size(); ++i) gated[i] = gated[i] / (1 + std::exp(-gated[i])) * up[i];
  const std::vector<float> out = project(layer.down, gated);
  for (size_t i = 0; i < x.size(); ++i) x[i] += out[i];
}

std::vector<float> Decoder::project(const Weights& weights, const std::vector<float>& x) {
  const int64_t tokens = batch_ * count_;
  std::vector<float> y(static_cast<size_t>(tokens * weights.out));
  operations_->project(weights, Tensor(model_.storage, x), tokens, y.data());
  return y;
}

std::vector<float> Decoder::norm(const std::vector<float>& x, const std::vector<float>& factors) const {
  std::vector<float> y(x.size());
  for (size_t row = 0; row < x.size(); row += factors.size()) {
    double squares = 0;
    for (size_t i = 0; i < factors.size(); ++i) squares += double{x[row + i]} * x[row + i];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(factors.size()) + 1e-5);
    for (size_t i = 0; i < factors.size(); ++i) y[row + i] = static_cast<float>(x[row + i] * scale) * factors[i];
  }
  return y;
}

// Rotary positions: element i of a head's first half turns with its partner in the second, by position / 10000^(2i/head_dim).
void Decoder::rotate(std::vector<float>& x, int64_t heads) const {
  const int64_t half = model_.config.head_dim() / 2, token = heads * 2 * half;
  for (size_t head = 0; head < x.size(); head += static_cast<size_t>(2 * half)) {
    const auto position = static_cast<double>(past_ + static_cast<int64_t>(head) / token % count_);
    for (int64_t i = 0; i < half; ++i) {
      const double angle = position * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
      const auto sine = static_cast<float>(std::sin(angle)), cosine = static_cast<float>(std::cos(angle));
      float &a = x[head + i], &b = x[head + i + half];
      const float turned = a * cosine - b * sine;
      b = b * cosine + a * sine;
      a = turned;
    }
  }
}

void Decoder::remember(Tensor& cache, const std::vector<float>& x) const {
  const int64_t row = model_.config.kv_heads * model_.config.head_dim(), sequence = count_ * row;
  for (int64_t i = 0; i < static_cast<int64_t>(x.size()); ++i)
    cache.set(static_cast<size_t>((i / sequence * capacity_ + past_) * row + i % sequence), x[static_cast<size_t>(i)]);
}
