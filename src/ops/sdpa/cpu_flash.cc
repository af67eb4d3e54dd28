// sdpa cpu_flash: tiles of queries against tiles of keys, whose scores never leave the cache (online softmax); a register tile's
// rows are keys and its columns queries, so that maxima and sums over keys need no step across lanes. Products are of floats, or
// of pairs of bf16 where the CPU has dot products of those.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/sdpa/cpu_flash.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "device/cpu/isa.h"
#include "ops/variant.h"
#include "ops/element.h"
#include "ops/matmul/pack-inl.h"
#include "ops/matmul/pairs-inl.h"
#include "ops/matmul/tile-inl.h"
#include "ops/partition.h"
#include "ops/sdpa/contract.h"
#include "ops/softmax/rows-inl.h"

#ifndef METALLIC_KERNELS_SDPA_CPU_FLASH_ONCE
#define METALLIC_KERNELS_SDPA_CPU_FLASH_ONCE
namespace metallic::sdpa {
namespace {

constexpr int64_t round_up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

// The most queries and keys of a tile; of queries, whole panels on every target.
struct Extent {
  int64_t queries, keys;
};

// Where a task's floats are. Panels are as wide as a register tile, in whole cache lines; [a, b] lies row by row.
struct Scratch {
  int64_t query;               // panels of [head_dim, panel of queries]
  int64_t key;                 // [keys, key_row]
  int64_t value;               // panels of [keys, panel of head_dim]
  int64_t weight;              // [keys, queries]: scores, then weights
  int64_t sum;                 // [queries, sum_row]
  int64_t max, total, factor;  // of each query
  int64_t end;
  int64_t key_row, sum_row;
};

constexpr Scratch layout(int64_t head_dim, const Extent& tile) {
  constexpr int64_t kWidestPanel = 32;
  Scratch at = {.key_row = round_up(head_dim, 16), .sum_row = round_up(head_dim, kWidestPanel)};
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

// A tile of the queries that share a head of K and V. They are counted query by query and, for each, head by head, so that those
// of a tile see about the same keys.
struct Job {
  const SdpaShape* shape;
  DType dtype, out_dtype;
  const void *q, *k, *v;  // of the group
  void* out;
  int64_t first, count;  // queries
  Extent tile;
};

using Attend = void (*)(const Job&, float* scratch);

}  // namespace
}  // namespace metallic::sdpa
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::sdpa::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using namespace ::metallic::HWY_NAMESPACE;
using ::metallic::matmul::Tile;
using ::metallic::matmul::HWY_NAMESPACE::kLanes;
using ::metallic::matmul::HWY_NAMESPACE::kMr;
using ::metallic::matmul::HWY_NAMESPACE::kNr;
using ::metallic::matmul::HWY_NAMESPACE::kTiles;
using ::metallic::matmul::HWY_NAMESPACE::kTileVecs;
using ::metallic::matmul::HWY_NAMESPACE::Lane;
using V = hn::Vec<Lane>;

static_assert(32 % kNr == 0);

// `count` elements as floats, then zeros up to `padded`, a multiple of lanes.
template <typename T>
HWY_INLINE void widen(const T* HWY_RESTRICT from, int64_t count, int64_t padded, float* HWY_RESTRICT to) {
  const Lane d;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::Store(load_f32(d, from + i), d, to + i);
  if (i < count) {
    hn::Store(load_f32_partial(d, from + i, static_cast<size_t>(count - i)), d, to + i);
    i += kLanes;
  }
  for (; i < padded; i += kLanes) hn::Store(hn::Zero(d), d, to + i);
}

// Where a query of the job begins in a tensor of queries.
int64_t query_at(const SdpaShape& s, const HeadStrides& strides, int64_t index) {
  return row_at(strides, 0, index % s.group(), index / s.group());
}

int64_t visible_to(const Job& job, int64_t query) { return visible_keys(*job.shape, (job.first + query) / job.shape->group()); }

// Tiles of floats, whatever the storage.
struct InFloats {
  using Step = matmul::HWY_NAMESPACE::Floats;

  /// Steps along so many elements.
  static int64_t steps(int64_t depth) { return depth; }

  // Panels of queries, a query in each lane; `rows` is room for them as rows.
  static void pack_queries(const Job& job, const Scratch& at, float* rows, float* to) {
    const int64_t head_dim = job.shape->head_dim;
    with_type(job.dtype, [&]<typename T>(T) HWY_ATTR {
      for (int64_t i = 0; i < job.count; ++i)
        widen(static_cast<const T*>(job.q) + query_at(*job.shape, job.shape->q, job.first + i), head_dim, at.key_row,
              rows + i * at.key_row);
    });
    for (int64_t i = 0; i < job.count; i += kNr)
      pack_panel<kTileVecs>(rows + i * at.key_row, at.key_row, 1, std::min(kNr, job.count - i), job.count - i, head_dim,
                            to + i * head_dim, kNr);
  }

  static void take_keys(const Job& job, const Scratch& at, int64_t first, int64_t count, float* scratch) {
    const SdpaShape& s = *job.shape;
    with_type(job.dtype, [&]<typename T>(T) HWY_ATTR {
      const T* k = static_cast<const T*>(job.k) + first * s.k.row;
      const T* v = static_cast<const T*>(job.v) + first * s.v.row;
      for (int64_t i = 0; i < count; ++i, k += s.k.row) widen(k, s.head_dim, at.key_row, scratch + at.key + i * at.key_row);
      for (int64_t i = 0; i < count; ++i, v += s.v.row)
        for (int64_t j = 0; j < s.head_dim; j += kNr)
          widen(v + j, std::min(kNr, s.head_dim - j), kNr, scratch + at.value + j * job.tile.keys + i * kNr);
    });
  }

  static void pack_weights(float*, int64_t, int64_t) {}
};

#if METALLIC_BF16_DOTS
// Tiles of pairs of bf16: of neighbours in head_dim for scores, of neighbouring keys for sums, with the weights rounded.
struct InPairs {
  using Step = matmul::HWY_NAMESPACE::Pairs;

  static int64_t steps(int64_t depth) { return (depth + 1) / 2; }

  static void pack_queries(const Job& job, const Scratch& at, float* rows, float* to) {
    const int64_t head_dim = job.shape->head_dim, row = 2 * at.key_row;
    auto* const copies = reinterpret_cast<bfloat16_t*>(rows);
    for (int64_t i = 0; i < job.count; ++i)
      std::memcpy(copies + i * row, static_cast<const bfloat16_t*>(job.q) + query_at(*job.shape, job.shape->q, job.first + i),
                  static_cast<size_t>(head_dim) * sizeof(bfloat16_t));
    for (int64_t i = 0; i < job.count; i += kNr)
      matmul::HWY_NAMESPACE::pack_pairs<kTileVecs>(copies + i * row, row, 1, std::min(kNr, job.count - i), 0, head_dim,
                                                   to + i * steps(head_dim), kNr);
  }

  static void take_keys(const Job& job, const Scratch& at, int64_t first, int64_t count, float* scratch) {
    const SdpaShape& s = *job.shape;
    const auto* k = static_cast<const bfloat16_t*>(job.k) + first * s.k.row;
    for (int64_t i = 0; i < count; ++i, k += s.k.row) {
      float* const row = scratch + at.key + i * at.key_row;
      if (s.head_dim > 0) row[steps(s.head_dim) - 1] = 0;  // a last element has no partner
      std::memcpy(row, k, static_cast<size_t>(s.head_dim) * sizeof(bfloat16_t));
    }
    const auto* v = static_cast<const bfloat16_t*>(job.v) + first * s.v.row;
    for (int64_t j = 0; j < s.head_dim; j += kNr) {
      const int64_t width = std::min(kNr, s.head_dim - j);
      matmul::HWY_NAMESPACE::pack_pairs<kTileVecs>(v + j, 1, s.v.row, width, s.head_dim - j, count,
                                                   scratch + at.value + j * job.tile.keys, kNr);
    }
  }

  // Rows of weights, of which there are `keys`, become half as many of pairs in their place.
  static void pack_weights(float* weights, int64_t stride, int64_t keys) {
    const Lane d;
    const hn::RebindToUnsigned<Lane> du;
    const auto rounded = [&](V x) HWY_ATTR {
      const auto bits = hn::BitCast(du, x);
      const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
      return hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
    };
    for (int64_t key = 0; key < keys; key += 2)
      for (int64_t v = 0; v < kNr; v += kLanes) {
        const float* const from = weights + key * stride + v;
        const V low = hn::Load(d, from), high = key + 1 < keys ? hn::Load(d, from + stride) : hn::Zero(d);
        const auto both = hn::Or(hn::ShiftRight<16>(rounded(low)), hn::And(rounded(high), hn::Set(du, 0xffff0000u)));
        hn::Store(hn::BitCast(d, both), d, weights + key / 2 * stride + v);
      }
  }
};
#endif

// Rows [0, rows) of a product in register tiles of equal heights; of a tile's rows, `depth` says how many steps they need.
template <class Step, typename Depth>
void multiply(Tile tile, int64_t rows, const Depth& depth) {
  const int64_t tiles = (rows + kMr - 1) / kMr;
  for (int64_t i = 0, left = tiles; left > 0; --left) {
    const int64_t height = (rows - i + left - 1) / left;
    tile.depth = depth(i + height);
    kTiles<Step, kTileVecs, false, false>[static_cast<size_t>(height - 1)](tile);
    tile.a += height * tile.a_row;
    tile.c += height * tile.c_row;
    i += height;
  }
}

// Turns the scores of a vector of queries into weights relative to the greatest score so far, of which `max` and `total` are
// kept; factor is what the earlier weights shrink by. kMasked: lane l sees the keys below visible[l].
template <bool kMasked>
void weigh(float* HWY_RESTRICT scores, int64_t stride, int64_t keys, V visible, float scale, float* HWY_RESTRICT max,
           float* HWY_RESTRICT total, float* HWY_RESTRICT factor) {
  const Lane d;
  const V lowest = hn::Set(d, kMinusInfinity), scales = hn::Set(d, scale);
  const V before = hn::Load(d, max);
  V most = before;
  for (int64_t j = 0; j < keys; ++j) {
    V score = hn::Load(d, scores + j * stride);
    if constexpr (kMasked) {
      score = hn::IfThenElse(hn::Lt(hn::Set(d, static_cast<float>(j)), visible), score, lowest);
      hn::Store(score, d, scores + j * stride);
    }
    most = hn::Max(most, score);
  }
  // Scores of −∞ weigh nothing beside those to come.
  const V shift = hn::IfThenElse(hn::Eq(most, lowest), hn::Zero(d), most);
  V sum = hn::Zero(d);
  for (int64_t j = 0; j < keys; ++j) {
    const V weight = exp_difference(d, hn::Load(d, scores + j * stride), shift, scales);
    hn::Store(weight, d, scores + j * stride);
    sum = hn::Add(sum, weight);
  }
  const V shrink = exp_difference(d, before, shift, scales);
  hn::Store(shrink, d, factor);
  hn::Store(hn::MulAdd(hn::Load(d, total), shrink, sum), d, total);
  hn::Store(most, d, max);
}

void rescale(const Job& job, const Scratch& at, float* scratch) {
  const Lane d;
  for (int64_t i = 0; i < job.count; ++i) {
    const float factor = scratch[at.factor + i];
    if (factor == 1) continue;
    float* const sum = scratch + at.sum + i * at.sum_row;
    for (int64_t j = 0; j < at.sum_row; j += kLanes) hn::Store(hn::Mul(hn::Load(d, sum + j), hn::Set(d, factor)), d, sum + j);
  }
}

template <class In>
void attend(const Job& job, float* scratch) {
  const SdpaShape& s = *job.shape;
  const Lane d;
  const Scratch at = layout(s.head_dim, job.tile);
  In::pack_queries(job, at, scratch + at.sum, scratch + at.query);
  std::fill_n(scratch + at.max, job.tile.queries, kMinusInfinity);
  std::fill_n(scratch + at.total, job.tile.queries, 0.0f);
  // Later queries see no fewer keys.
  const int64_t seen = visible_to(job, job.count - 1);
  for (int64_t first = 0; first < seen; first += job.tile.keys) {
    const int64_t keys = std::min(job.tile.keys, seen - first);
    const auto seen_by = [&](int64_t query) { return std::clamp<int64_t>(visible_to(job, query) - first, 0, keys); };
    In::take_keys(job, at, first, keys, scratch);
    for (int64_t i = 0; i < job.count; i += kNr) {
      const int64_t width = std::min(kNr, job.count - i), most = seen_by(i + width - 1);
      float* const weights = scratch + at.weight + i;
      multiply<typename In::Step>({.a = scratch + at.key,
                                   .a_row = at.key_row,
                                   .a_step = 1,
                                   .b = scratch + at.query + i * In::steps(s.head_dim),
                                   .b_step = kNr,
                                   .c = weights,
                                   .c_row = job.tile.queries,
                                   .columns = kNr,
                                   .alpha = 1},
                                  most, [&](int64_t) { return In::steps(s.head_dim); });
      const bool masked = seen_by(i) < most;
      for (int64_t v = 0; v < kNr; v += kLanes) {
        float* const of = scratch + i + v;
        if (masked) {
          HWY_ALIGN float visible[kLanes];
          for (int64_t l = 0; l < kLanes; ++l) visible[l] = static_cast<float>(seen_by(std::min(i + v + l, job.count - 1)));
          weigh<true>(weights + v, job.tile.queries, most, hn::Load(d, visible), s.scale, of + at.max, of + at.total,
                      of + at.factor);
        } else {
          weigh<false>(weights + v, job.tile.queries, most, hn::Zero(d), s.scale, of + at.max, of + at.total, of + at.factor);
        }
      }
      In::pack_weights(weights, job.tile.queries, most);
    }
    if (first > 0) rescale(job, at, scratch);
    for (int64_t j = 0; j < s.head_dim; j += kNr)
      for (int64_t i = 0; i < job.count; i += kNr)
        multiply<typename In::Step>({.a = scratch + at.weight + i,
                                     .a_row = 1,
                                     .a_step = job.tile.queries,
                                     .b = scratch + at.value + j * job.tile.keys,
                                     .b_step = kNr,
                                     .c = scratch + at.sum + i * at.sum_row + j,
                                     .c_row = at.sum_row,
                                     .columns = kNr,
                                     .alpha = 1,
                                     .keep = first > 0 ? 1.0f : 0.0f},
                                    std::min(kNr, job.count - i), [&](int64_t end) { return In::steps(seen_by(i + end - 1)); });
  }
  with_type(job.out_dtype, [&]<typename Out>(Out) {
    for (int64_t i = 0; i < job.count; ++i) {
      Out* const out = static_cast<Out*>(job.out) + query_at(s, s.out, job.first + i);
      if (visible_to(job, i) == 0)
        std::fill_n(out, s.head_dim, Out{});
      else
        row_scale(scratch + at.sum + i * at.sum_row, 1 / scratch[at.total + i], out, static_cast<size_t>(s.head_dim));
    }
  });
}

Attend find_attend(bool pairs) {
#if METALLIC_BF16_DOTS
  if (pairs) return &attend<InPairs>;
#endif
  return pairs ? nullptr : &attend<InFloats>;
}

}  // namespace
}  // namespace metallic::sdpa::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::sdpa {
namespace {

HWY_EXPORT(find_attend);

bool in_pairs(const Problem& problem, const DeviceInfo& device) { return problem.dtype == DType::bf16 && has_bf16_dots(device); }

// Large tiles widen a key less often and have more to share their overhead; small ones are more to share among threads.
constexpr Tuning kTunings[] = {{{{{"keys", 128}, {"queries", 64}}}}, {{{{"keys", 256}, {"queries", 128}}}}};

Extent extent(const Tuning& tuning) { return {.queries = tuning["queries"], .keys = tuning["keys"]}; }

class CpuFlash final : public Kernel {
 public:
  CpuFlash(const Problem& problem, const Extent& tile, const DeviceInfo& device)
      : shape_(problem.sdpa()),
        dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        tile_(tile),
        attend_(cpu::pick(HWY_DISPATCH_TABLE(find_attend), device.cpu().hwy_target)(in_pairs(problem, device))) {
    if (operand_bytes(problem)[kOut] == 0) return;
    queries_ = shape_.group() * shape_.seq_q;
    tiles_ = (queries_ + tile_.queries - 1) / tile_.queries;
    jobs_ = shape_.batch * shape_.kv_heads * tiles_;
    tasks_ = task_count(problem.threads, jobs_, work(problem).flops / 2, kPerNs, device);
  }

  size_t workspace() const override { return static_cast<size_t>(tasks_ * task_floats()) * sizeof(float); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    // Whoever is done takes the next tile. Under a mask those of a group become cheaper, so that all are done at about the
    // same time.
    std::atomic<int64_t> next = 0;
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      float* const scratch = reinterpret_cast<float*>(workspace) + static_cast<int64_t>(task) * task_floats();
      for (int64_t at; (at = next.fetch_add(1, std::memory_order_relaxed)) < jobs_;)
        attend_(job(args, at / tiles_, tiles_ - 1 - at % tiles_), scratch);
    });
    return Code::ok;
  }

 private:
  int64_t task_floats() const { return jobs_ == 0 ? 0 : layout(shape_.head_dim, tile_).end; }

  Job job(const Args& args, int64_t group, int64_t tile) const {
    const int64_t batch = group / shape_.kv_heads, shared = group % shape_.kv_heads, head = shared * shape_.group();
    const auto in = static_cast<int64_t>(size_of(dtype_)), out = static_cast<int64_t>(size_of(out_dtype_));
    return {.shape = &shape_,
            .dtype = dtype_,
            .out_dtype = out_dtype_,
            .q = static_cast<const std::byte*>(args.in[0]) + row_at(shape_.q, batch, head, 0) * in,
            .k = static_cast<const std::byte*>(args.in[1]) + row_at(shape_.k, batch, shared, 0) * in,
            .v = static_cast<const std::byte*>(args.in[2]) + row_at(shape_.v, batch, shared, 0) * in,
            .out = static_cast<std::byte*>(args.out) + row_at(shape_.out, batch, head, 0) * out,
            .first = tile * tile_.queries,
            .count = std::min(tile_.queries, queries_ - tile * tile_.queries),
            .tile = tile_};
  }

  SdpaShape shape_;
  DType dtype_, out_dtype_;
  Extent tile_;
  Attend attend_;
  int64_t queries_ = 0, tiles_ = 0, jobs_ = 0, tasks_ = 1;
};

}  // namespace

extern const Variant cpu_flash = {
    .family = "flash",
    .tunings = kTunings,
    .rejects = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
    // Large ones where a thread has four of them, which fit the second cache level with room for what they are made of.
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const auto& s = problem.sdpa();
      const Extent large = extent(kTunings[1]);
      const int64_t jobs = s.batch * s.kv_heads * (s.group() * s.seq_q / large.queries);
      const auto fits = [&] { return layout(s.head_dim, large).end * 4 <= device.cpu().l2_bytes * 3 / 4; };
      return kTunings[jobs >= 4 * problem.threads && s.head_dim <= 1024 && fits() ? 1 : 0];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      if (static_cast<double>(problem.sdpa().head_dim) * problem.threads > 0x1p40)
        return fail(Code::out_of_memory, "tiles of {} elements a head are more than a machine holds", problem.sdpa().head_dim);
      return std::make_unique<CpuFlash>(problem, extent(tuning), device);
    },
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return (in_pairs(problem, device) ? "flash_pairs;" : "flash;") + to_string(tuning) + ";" + device.cpu().isa;
    },
};

}  // namespace metallic::sdpa
#endif
