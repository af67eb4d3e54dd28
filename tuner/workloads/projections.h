// SPDX-License-Identifier: Apache-2.0
// Projections: the weights of a model, as the products that run them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tuner/workloads/model.h"

namespace metallic {

/// X[tokens, in]·W[out, in]ᵀ; with experts, a batch of such products, each with its own weights and tokens.
struct Projection {
  std::string role;
  int64_t out = 0;
  int64_t in = 0;
  int64_t layers = 0;   ///< how many layers have it
  int64_t experts = 1;  ///< matrices in a layer
  int64_t active = 1;   ///< matrices that a token uses
};

/// The projections of the layers in the order in which an engine runs them; equal ones of different layers are one. Without the
/// output projection, which no layer has.
std::vector<Projection> projections(const ModelConfig& model);

/// How many matrices are used, and by how many tokens each, as is to be expected if the router has no preference.
struct ExpertLoad {
  int64_t experts = 1;
  int64_t tokens = 0;
};
ExpertLoad expert_load(const Projection& projection, int64_t tokens);

}  // namespace metallic
