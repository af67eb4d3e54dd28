// SPDX-License-Identifier: Apache-2.0
// The plan cache: one plan for each problem, found without a lock and kept until the cache ends.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "ops/planner.h"

namespace metallic {

/// Problems are told apart by all but their thread count, which is one for the whole cache.
class PlanCache {
 public:
  PlanCache();
  PlanCache(const PlanCache&) = delete;
  PlanCache& operator=(const PlanCache&) = delete;
  ~PlanCache();

  /// The plan of a problem, or null. Takes no lock; from any thread, while others insert too.
  const Plan* find(const Problem& problem) const;

  /// Keeps a plan under its problem, and gives the one that is found from now on: what another thread kept meanwhile, or it.
  const Plan& insert(const Problem& problem, Plan plan);

 private:
  struct Node {
    uint64_t hash;
    Problem problem;
    Plan plan;
  };
  // Open addressing, at most half full, so that a search ends at an empty slot. A table never moves or forgets a node; a larger
  // one replaces it, and it is kept for the readers that are still in it: all of them together are smaller than the last.
  struct Table {
    explicit Table(size_t size) : slots(size) {}
    std::vector<std::atomic<const Node*>> slots;  // a power of two
  };

  static uint64_t hash_of(const Problem& problem);
  static const Node* search(const Table& table, uint64_t hash, const Problem& problem);
  static void place(Table& table, const Node* node);

  std::atomic<const Table*> table_;
  std::mutex mutex_;  // of those who insert
  std::vector<std::unique_ptr<Table>> tables_;
  std::vector<std::unique_ptr<const Node>> nodes_;
};

}  // namespace metallic
