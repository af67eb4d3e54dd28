// SPDX-License-Identifier: Apache-2.0
// The plan cache: a bounded number of plans, found without a lock, held while in use, and replaced when others need their place.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/process.h"

namespace metallic {

/// `Key` has `uint64_t hash() const`, whose bits are all good, and compares. Safe from all threads.
///
/// A key's hash selects a set of eight places. A full set replaces a plan that nobody holds and that was not found since the
/// last search for one; if all are held, the new plan is not cached. A replaced place is never freed, only refilled, so a reader
/// that is late can still count itself in and out.
template <typename Key, typename Value>
class PlanCache {
 public:
  static constexpr size_t kWays = 8;

  class Place {
   public:
    Value& value() const { return *value_; }

   private:
    friend class PlanCache;
    std::atomic<uint32_t> holders_{kReplacing};
    std::atomic<bool> found_{false};
    Key key_{};
    std::unique_ptr<Value> value_;
  };

  /// `capacity`: plans that fit if their hashes are spread evenly; a power of two, at least kWays.
  explicit PlanCache(size_t capacity = 1024) : sets_(capacity / kWays) { places_.reserve(capacity); }
  PlanCache(const PlanCache&) = delete;
  PlanCache& operator=(const PlanCache&) = delete;

  /// The place of a key, which the caller holds until it calls `release`; or null. Takes no lock.
  Place* acquire(const Key& key) {
    const uint64_t hash = hash_of(key);
    Set& set = set_of(hash);
    for (size_t way = 0; way < kWays; ++way)
      if (set.hashes[way].load(std::memory_order_acquire) == hash)
        if (Place* const place = set.places[way].load(std::memory_order_acquire); hold(*place, key)) return place;
    return nullptr;
  }

  static void release(Place& place) { place.holders_.fetch_sub(1, std::memory_order_release); }

  /// Caches a value and returns its place, held; or the place of an equal key that another thread cached meanwhile. If all
  /// places are held, returns null and leaves the value. Calls placed(value, place) before other threads see it.
  template <typename Placed>
  Place* insert(const Key& key, std::unique_ptr<Value>& value, const Placed& placed) {
    const std::lock_guard lock(mutex_);
    if (Place* const there = acquire(key)) return there;
    const uint64_t hash = hash_of(key);
    Set& set = set_of(hash);
    const size_t way = free_way(set);
    if (way == kWays) return nullptr;
    if (!set.places[way].load(std::memory_order_relaxed)) {
      places_.push_back(std::make_unique<Place>());
      set.places[way].store(places_.back().get(), std::memory_order_release);
    }
    Place& place = *set.places[way].load(std::memory_order_relaxed);
    set.hashes[way].store(kNone, std::memory_order_relaxed);
    place.key_ = key;
    place.value_ = std::move(value);
    placed(*place.value_, place);
    place.holders_.fetch_sub(kReplacing - 1, std::memory_order_release);  // the caller is the first holder
    set.hashes[way].store(hash, std::memory_order_release);
    return &place;
  }

  /// Whether any place is held; exact if no other thread acquires.
  bool any_held() const {
    const std::lock_guard lock(mutex_);
    for (const auto& place : places_)
      if (const uint32_t holders = place->holders_.load(std::memory_order_acquire); holders > 0 && holders < kReplacing)
        return true;
    return false;
  }

 private:
  static constexpr uint32_t kReplacing = 1u << 31;  // more than there can be holders
  static constexpr uint64_t kNone = 0;

  struct alignas(64) Set {
    std::array<std::atomic<uint64_t>, kWays> hashes{};
    std::array<std::atomic<Place*>, kWays> places{};
  };

  static uint64_t hash_of(const Key& key) {
    const uint64_t hash = key.hash();
    return hash == kNone ? 1 : hash;
  }

  Set& set_of(uint64_t hash) { return sets_[(hash >> 32) & (sets_.size() - 1)]; }

  // A place's key may be read only by a holder, since another thread may be replacing it.
  static bool hold(Place& place, const Key& key) {
    const uint32_t before = place.holders_.fetch_add(1, std::memory_order_acquire);
    if (before < kReplacing && place.key_ == key) {
      // Readers share the line, so it is written only if that changes it.
      if (!place.found_.load(std::memory_order_relaxed)) place.found_.store(true, std::memory_order_relaxed);
      return true;
    }
    release(place);
    return false;
  }

  // A way that nobody holds and that this thread may refill, or kWays. Places that were found lately get a second chance.
  static size_t free_way(Set& set) {
    for (size_t way = 0; way < kWays; ++way)
      if (!set.places[way].load(std::memory_order_relaxed)) return way;
    for (int round = 0; round < 2; ++round)
      for (size_t way = 0; way < kWays; ++way) {
        Place& place = *set.places[way].load(std::memory_order_relaxed);
        if (place.found_.exchange(false, std::memory_order_relaxed)) continue;
        uint32_t nobody = 0;
        if (place.holders_.compare_exchange_strong(nobody, kReplacing, std::memory_order_acq_rel)) return way;
      }
    return kWays;
  }

  std::vector<Set> sets_;
  mutable ForkSafeMutex mutex_;                 // held by insert
  std::vector<std::unique_ptr<Place>> places_;  // for their destruction
};

}  // namespace metallic
