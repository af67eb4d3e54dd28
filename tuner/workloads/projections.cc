// SPDX-License-Identifier: Apache-2.0
// Lists the projections of attention and of feed-forward parts.
#include "tuner/workloads/projections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace metallic {
namespace {

class Projections {
 public:
  void add(Projection projection) {
    for (Projection& known : found_)
      if (known.role == projection.role && known.out == projection.out && known.in == projection.in &&
          known.experts == projection.experts && known.active == projection.active) {
        known.layers += projection.layers;
        return;
      }
    found_.push_back(std::move(projection));
  }
  std::vector<Projection> take() { return std::move(found_); }

 private:
  std::vector<Projection> found_;
};

void add_attention(const ModelConfig& model, const Attention& attention, Projections& all) {
  const auto add = [&](const char* role, int64_t out, int64_t in) {
    all.add({.role = role, .out = out, .in = in, .layers = attention.layers});
  };
  const int64_t queries = attention.heads * attention.head_dim;
  if (const auto& latent = attention.latent) {
    if (latent->q_rank > 0) add("q_a", latent->q_rank, model.hidden);
    add(latent->q_rank > 0 ? "q_b" : "q", queries, latent->q_rank > 0 ? latent->q_rank : model.hidden);
    add("kv_a", latent->kv_rank + latent->rotated, model.hidden);
    add("kv_b", attention.heads * (latent->plain + attention.value_dim), latent->kv_rank);
  } else {
    add("qkv", (attention.output_gate ? 2 : 1) * queries + attention.kv_heads * (attention.head_dim + attention.value_dim),
        model.hidden);
  }
  add("o", model.hidden, attention.heads * attention.value_dim);
}

void add_feed_forward(const ModelConfig& model, const FeedForward& part, Projections& all) {
  const auto add = [&](std::string_view role, int64_t out, int64_t in) {
    all.add({.role = part.part.empty() ? std::string(role) : fmt::format("{} {}", part.part, role),
             .out = out,
             .in = in,
             .layers = part.layers,
             .experts = part.experts,
             .active = part.active});
  };
  if (part.experts > 1) all.add({.role = "router", .out = part.experts, .in = model.hidden, .layers = part.layers});
  add(part.gated ? "gate_up" : "up", (part.gated ? 2 : 1) * part.intermediate, model.hidden);
  add("down", model.hidden, part.intermediate);
}

}  // namespace

std::vector<Projection> projections(const ModelConfig& model) {
  Projections all;
  for (const Attention& attention : model.attention) add_attention(model, attention, all);
  for (const FeedForward& part : model.feed_forward) add_feed_forward(model, part, all);
  return all.take();
}

ExpertLoad expert_load(const Projection& projection, int64_t tokens) {
  if (projection.experts == 1) return {.experts = 1, .tokens = tokens};
  const auto experts = static_cast<double>(projection.experts), active = static_cast<double>(projection.active);
  const double used = experts * (1 - std::pow(1 - active / experts, static_cast<double>(tokens)));
  return {.experts = std::max<int64_t>(std::llround(used), 1),
          .tokens = std::max<int64_t>(std::llround(static_cast<double>(tokens) * active / used), 1)};
}

}  // namespace metallic
