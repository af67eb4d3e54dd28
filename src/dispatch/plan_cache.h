// SPDX-License-Identifier: Apache-2.0
// The plan cache: one plan for each problem, found without a lock and kept until the cache is destroyed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "ops/planner.h"

namespace metallic {

/// Problems are compared by everything except their thread count, which is the same for the whole cache.
class PlanCache {
 public:
  PlanCache();
  PlanCache(const PlanCache&) = delete;
  PlanCache& operator=(const PlanCache&) = delete;
  ~PlanCache();

  /// The plan of a problem, or null. Takes no lock; safe from any thread, even while others insert.
  const Plan* find(const Problem& problem) const;

  /// Stores a plan for its problem. Returns the plan that is found from now on: this one, or the one that another thread stored
  /// first.
  const Plan& insert(const Problem& problem, Plan plan);

 private:
  struct Node {
    uint64_t hash;
    Problem problem;
    Plan plan;
  };
  // Open addressing, at most half full, so that a search ends at an empty slot. A table never moves or forgets a node. When a
  // larger table replaces it, the old one is kept for its current readers; all old ones together are smaller than the newest.
  struct Table {
    explicit Table(size_t size) : slots(size) {}
    std::vector<std::atomic<const Node*>> slots;  // a power of two
  };

  static uint64_t hash_of(const Problem& problem);
  static const Node* search(const Table& table, uint64_t hash, const Problem& problem);
  static void place(Table& table, const Node* node);

  std::atomic<const Table*> table_;
  std::mutex mutex_;  // held by insert
  std::vector<std::unique_ptr<Table>> tables_;
  std::vector<std::unique_ptr<const Node>> nodes_;
};

}  // namespace metallic
