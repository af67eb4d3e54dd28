// SPDX-License-Identifier: Apache-2.0
// Flash attention on a CPU: the types that its kernel and its micro-kernels share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/dtype.h"
#include "base/math.h"
#include "ops/sdpa/contract.h"
#include "ops/sdpa/shape.h"

namespace metallic::sdpa {

/// The most queries and keys of a tile. The queries form whole panels on every target.
struct TileExtent {
  int64_t queries, keys;
};

/// The offsets of a task's scratch memory, in floats; [a, b] is in row-major order. Panels are as wide as a register tile and
/// start at cache lines.
struct FlashScratch {
  int64_t query;               ///< panels of [head_dim, panel of queries]
  int64_t key;                 ///< [keys, key_row]
  int64_t value;               ///< panels of [keys, panel of head_dim]
  int64_t weight;              ///< [keys, queries]: scores, then weights
  int64_t sum;                 ///< [queries, sum_row]
  int64_t max, total, factor;  ///< of each query
  int64_t end;
  int64_t key_row, sum_row;
};

constexpr FlashScratch flash_scratch(int64_t head_dim, const TileExtent& tile) {
  constexpr int64_t kWidestPanel = 32;
  FlashScratch at = {.key_row = round_up(head_dim, 16), .sum_row = round_up(head_dim, kWidestPanel)};
  at.key = at.query + tile.queries * at.key_row;
  at.value = at.key + tile.keys * at.key_row;
  at.weight = at.value + tile.keys * at.sum_row;
  at.sum = at.weight + tile.keys * tile.queries;
  at.max = at.sum + tile.queries * at.sum_row;
  at.total = at.max + tile.queries;
  at.factor = at.total + tile.queries;
  at.end = at.factor + tile.queries;
  return at;
}

/// A tile of the queries that share a head of K and V. Queries are numbered by position first and then by head, so the queries of
/// a tile see about the same keys.
struct QueryTile {
  const SdpaShape* shape;
  DType dtype, out_dtype;
  const void *q, *k, *v;  ///< of the group of heads
  void* out;
  int64_t first, count;  ///< queries
  TileExtent extent;
};

/// Computes the output of a tile in the scratch memory of a task.
using AttendTile = void (*)(const QueryTile& tile, float* scratch);

/// Attention in pairs of bf16 for a device with bf16 dot products, by Highway's target bit.
AttendTile attend_in_pairs(int64_t isa_bit);

}  // namespace metallic::sdpa
