#include "dispatch/plan_cache.h"

#include <bit>

namespace metallic {
namespace {

constexpr size_t kFirstSize = 64;

bool same(const Problem& a, const Problem& b) { return a.dtype == b.dtype && a.out_dtype == b.out_dtype && a.shape == b.shape; }

// The sum of the values, each times an odd number of its own: products do not wait for one another as rounds of mixing do.
template <typename... Values>
uint64_t mixed(Values... values) {
  uint64_t factor = 0x9e3779b97f4a7c15u, sum = 0;
  ((sum += static_cast<uint64_t>(values) * factor, factor = std::rotl(factor, 23) | 1), ...);
  sum ^= sum >> 32;
  return sum * 0xd6e8feb86659fd93u;
}

// Dimensions and flags tell problems apart; strides seldom do and are left to the comparison.
uint64_t mixed(uint64_t type, const SoftmaxShape& s) { return mixed(type, s.batch, s.seq_q, s.seq_k, s.causal, s.offset); }
uint64_t mixed(uint64_t type, const MatmulShape& s) {
  return mixed(type + 8, s.batch, s.m, s.k, s.n, s.ta + 2 * s.tb + 4 * s.packed);
}
uint64_t mixed(uint64_t type, const SdpaShape& s) {
  return mixed(type + 16, s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_k, s.head_dim, s.causal, s.offset);
}

}  // namespace

PlanCache::PlanCache() {
  tables_.push_back(std::make_unique<Table>(kFirstSize));
  table_.store(tables_.back().get(), std::memory_order_release);
}

PlanCache::~PlanCache() = default;

uint64_t PlanCache::hash_of(const Problem& problem) {
  const auto type = static_cast<uint64_t>(problem.dtype);
  switch (problem.op()) {
    case Op::softmax: return mixed(type, problem.softmax());
    case Op::matmul: return mixed(type, problem.matmul());
    case Op::sdpa: return mixed(type, problem.sdpa());
  }
  return 0;
}

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
