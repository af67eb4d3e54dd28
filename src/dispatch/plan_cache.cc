// SPDX-License-Identifier: Apache-2.0
#include "dispatch/plan_cache.h"

#include "ops/operation.h"

namespace metallic {
namespace {

constexpr size_t kFirstSize = 64;

bool same(const Problem& a, const Problem& b) { return a.dtype == b.dtype && a.out_dtype == b.out_dtype && a.shape == b.shape; }

}  // namespace

PlanCache::PlanCache() {
  tables_.push_back(std::make_unique<Table>(kFirstSize));
  table_.store(tables_.back().get(), std::memory_order_release);
}

PlanCache::~PlanCache() = default;

uint64_t PlanCache::hash_of(const Problem& problem) { return problem.op()->hash(problem); }

const PlanCache::Node* PlanCache::search(const Table& table, uint64_t hash, const Problem& problem) {
  const size_t mask = table.slots.size() - 1;
  for (size_t at = hash >> 32;; ++at) {
    const Node* const node = table.slots[at & mask].load(std::memory_order_acquire);
    if (!node || (node->hash == hash && same(node->problem, problem))) return node;
  }
}

void PlanCache::place(Table& table, const Node* node) {
  const size_t mask = table.slots.size() - 1;
  size_t at = node->hash >> 32;
  while (table.slots[at & mask].load(std::memory_order_relaxed)) ++at;
  table.slots[at & mask].store(node, std::memory_order_release);
}

const Plan* PlanCache::find(const Problem& problem) const {
  const Node* const node = search(*table_.load(std::memory_order_acquire), hash_of(problem), problem);
  return node ? &node->plan : nullptr;
}

const Plan& PlanCache::insert(const Problem& problem, Plan plan) {
  const uint64_t hash = hash_of(problem);
  const std::lock_guard lock(mutex_);
  Table* table = tables_.back().get();
  if (const Node* const there = search(*table, hash, problem)) return there->plan;
  nodes_.push_back(std::make_unique<const Node>(Node{hash, problem, std::move(plan)}));
  if (2 * nodes_.size() > table->slots.size()) {
    tables_.push_back(std::make_unique<Table>(2 * table->slots.size()));
    table = tables_.back().get();
    for (const auto& node : nodes_) place(*table, node.get());
    table_.store(table, std::memory_order_release);
  } else {
    place(*table, nodes_.back().get());
  }
  return nodes_.back()->plan;
}

}  // namespace metallic
