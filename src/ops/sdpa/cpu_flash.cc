// SPDX-License-Identifier: Apache-2.0
// sdpa cpu_flash: flash attention, tiles of queries against tiles of keys with an online softmax; in f32, or in pairs of bf16 if
// the CPU has dot products of them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/sdpa/cpu_flash.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <atomic>

#include "base/math.h"
#include "device/cpu/isa.h"
#include "ops/element.h"
#include "ops/matmul/pack-inl.h"
#include "ops/partition.h"
#include "ops/sdpa/contract.h"
#include "ops/sdpa/flash-inl.h"
#include "ops/sdpa/flash.h"
#include "ops/sdpa/shape.h"
#include "ops/simd/bf16_dots.h"
#include "ops/variant.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::sdpa::HWY_NAMESPACE {
namespace {

// Widens `count` elements, then writes zeros up to `padded`, a multiple of the lanes.
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

// The arithmetic of f32 for any storage type; attend takes others with the same members.
struct F32Attention {
  using Step = matmul::HWY_NAMESPACE::F32Step;

  // Steps along `depth` elements.
  static int64_t steps(int64_t depth) { return depth; }

  // Packs panels of queries, with a query in each lane; `rows` is scratch memory for them as rows.
  static void pack_queries(const QueryTile& tile, const FlashScratch& at, float* rows, float* to) {
    const int64_t head_dim = tile.shape->head_dim;
    with_type(tile.dtype, [&]<typename T>(T) HWY_ATTR {
      for (int64_t i = 0; i < tile.count; ++i)
        widen(static_cast<const T*>(tile.q) + query_at(*tile.shape, tile.shape->q, tile.first + i), head_dim, at.key_row,
              rows + i * at.key_row);
    });
    for (int64_t i = 0; i < tile.count; i += kNr)
      pack_panel<kTileVecs>(rows + i * at.key_row, at.key_row, 1, std::min(kNr, tile.count - i), tile.count - i, head_dim,
                            to + i * head_dim, kNr);
  }

  // Copies a tile of keys and packs panels of their values.
  static void take_keys(const QueryTile& tile, const FlashScratch& at, int64_t first, int64_t count, float* scratch) {
    const SdpaShape& s = *tile.shape;
    with_type(tile.dtype, [&]<typename T>(T) HWY_ATTR {
      const T* k = static_cast<const T*>(tile.k) + first * s.k.row;
      const T* v = static_cast<const T*>(tile.v) + first * s.v.row;
      for (int64_t i = 0; i < count; ++i, k += s.k.row) widen(k, s.head_dim, at.key_row, scratch + at.key + i * at.key_row);
      for (int64_t i = 0; i < count; ++i, v += s.v.row)
        for (int64_t j = 0; j < s.head_dim; j += kNr)
          widen(v + j, std::min(kNr, s.head_dim - j), kNr, scratch + at.value + j * tile.extent.keys + i * kNr);
    });
  }

  // Packs weights for the second product, in place.
  static void pack_weights(float*, int64_t, int64_t) {}
};

void attend_in_f32(const QueryTile& tile, float* scratch) { attend<F32Attention>(tile, scratch); }

}  // namespace
}  // namespace metallic::sdpa::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::sdpa {
namespace {

HWY_EXPORT(attend_in_f32);

bool in_pairs(const Problem& problem, const DeviceInfo& device) { return problem.dtype == DType::bf16 && has_bf16_dots(device); }

// Large tiles widen a key less often and amortise their overhead over more work. Small tiles balance threads better.
constexpr Tuning kTunings[] = {{{{{"keys", 128}, {"queries", 64}}}}, {{{{"keys", 256}, {"queries", 128}}}}};

TileExtent extent(const Tuning& tuning) { return {.queries = tuning["queries"], .keys = tuning["keys"]}; }

class CpuFlash final : public Kernel {
 public:
  CpuFlash(const Problem& problem, const TileExtent& tile, const DeviceInfo& device)
      : shape_(problem.as<SdpaShape>()),
        dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        tile_(tile),
        attend_(in_pairs(problem, device) ? attend_in_pairs(device.cpu().hwy_target)
                                          : cpu::pick(HWY_DISPATCH_TABLE(attend_in_f32), device.cpu().hwy_target)) {
    if (operand_bytes(problem)[kOut] == 0) return;
    queries_ = shape_.group() * shape_.seq_q;
    group_tiles_ = ceil_div(queries_, tile_.queries);
    tiles_ = shape_.batch * shape_.kv_heads * group_tiles_;
    tasks_ = task_count(problem.threads, tiles_, work(problem).flops / 2, kPerNs, device);
  }

  size_t workspace() const override { return static_cast<size_t>(tasks_ * task_floats()) * sizeof(float); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    // A task that is done takes the next tile. Under a mask, later tiles of a group are cheaper, so all tasks end at about the
    // same time.
    std::atomic<int64_t> next = 0;
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      float* const scratch = reinterpret_cast<float*>(workspace) + static_cast<int64_t>(task) * task_floats();
      for (int64_t at; (at = next.fetch_add(1, std::memory_order_relaxed)) < tiles_;)
        attend_(query_tile(args, at / group_tiles_, group_tiles_ - 1 - at % group_tiles_), scratch);
    });
    return Code::ok;
  }

 private:
  int64_t task_floats() const { return tiles_ == 0 ? 0 : flash_scratch(shape_.head_dim, tile_).end; }

  QueryTile query_tile(const Args& args, int64_t group, int64_t tile) const {
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
            .extent = tile_};
  }

  SdpaShape shape_;
  DType dtype_, out_dtype_;
  TileExtent tile_;
  AttendTile attend_;
  int64_t queries_ = 0, group_tiles_ = 0, tiles_ = 0, tasks_ = 1;
};

}  // namespace

extern const Variant cpu_flash = {
    .family = "flash",
    .tunings = kTunings,
    .rejects = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
    // Large tiles, if each thread has at least four of them and the scratch memory of one fits in the second cache level.
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const auto& s = problem.as<SdpaShape>();
      const TileExtent large = extent(kTunings[1]);
      const int64_t tiles = s.batch * s.kv_heads * (s.group() * s.seq_q / large.queries);
      const auto fits = [&] { return flash_scratch(s.head_dim, large).end * 4 <= device.cpu().l2_bytes * 3 / 4; };
      return kTunings[tiles >= 4 * problem.threads && s.head_dim <= 1024 && fits() ? 1 : 0];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      if (static_cast<double>(problem.as<SdpaShape>().head_dim) * problem.threads > 0x1p40)
        return fail(Code::out_of_memory, "tiles of {} elements a head are more than a machine holds",
                    problem.as<SdpaShape>().head_dim);
      return std::make_unique<CpuFlash>(problem, extent(tuning), device);
    },
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return (in_pairs(problem, device) ? "flash_pairs;" : "flash;") + to_string(tuning) + ";" + device.cpu().isa;
    },
};

}  // namespace metallic::sdpa
#endif
