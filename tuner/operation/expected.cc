// SPDX-License-Identifier: Apache-2.0
#include "tuner/operation/expected.h"

#include <random>

namespace metallic {

double gamma(int64_t terms) {
  const double error = static_cast<double>(terms) * kUnit;
  return error / (1 - error);
}

std::vector<int64_t> sampled_indices(int64_t count, size_t most, uint64_t seed) {
  std::vector<int64_t> indices;
  if (count <= 0) return indices;
  if (static_cast<uint64_t>(count) <= most) {
    for (int64_t i = 0; i < count; ++i) indices.push_back(i);
    return indices;
  }
  std::mt19937_64 random(seed);
  indices = {0, count - 1};
  while (indices.size() < most) indices.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(count)));
  return indices;
}

}  // namespace metallic
