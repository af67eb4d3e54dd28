// matmul cpu_gemv: up to 16 rows or columns against a big matrix of weights, which is streamed from memory once, in the
// order and the type in which it is stored; the tasks share its big dimension, and only the small operand is ever packed.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/cpu_gemv.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backends/cpu/isa.h"
#include "core/variant.h"
#include "kernels/matmul/contract.h"
#include "kernels/matmul/gemv-inl.h"
#include "kernels/partition.h"

#if HWY_ONCE
namespace metallic::matmul {
namespace {

HWY_EXPORT(dot);
HWY_EXPORT(scaled);
HWY_EXPORT(lanes);
HWY_EXPORT(pack_vectors);
HWY_EXPORT(pack_rows);
using Pack = decltype(&HWY_STATIC_DISPATCH(pack_rows));
using Multiply = decltype(&HWY_STATIC_DISPATCH(dot));

// Weight rows at a time: as many accumulators and streams for dot products, four times as many rows for scaled rows.
constexpr Tuning kTunings[] = {{{{{"rows", 1}}}}, {{{{"rows", 2}}}}, {{{{"rows", 4}}}}, {{{{"rows", 6}}}}};

// Whether a row of weights, as it is stored, lies along K.
bool along_k(const MatmulShape& shape) { return shape.weights_in_a() ? !shape.ta : shape.tb; }

// Copying an element of X costs about as much as this many multiply-adds, by vectors.
constexpr double kPackCost = 2;

class CpuGemv final : public Kernel {
 public:
  CpuGemv(const Problem& problem, int64_t rows, const DeviceFacts& facts)
      : shape_(problem.matmul()),
        dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        rows_(rows),
        along_k_(along_k(shape_)),
        // Dot products take X by vectors of K, scaled rows by rows of n. A single column may lie there already.
        lanes_(along_k_ ? cpu::pick(HWY_DISPATCH_TABLE(lanes), facts.isa_bit)() : 1),
        vectors_((shape_.k + lanes_ - 1) / lanes_),
        packs_(needs_packing()),
        pack_(along_k_ ? cpu::pick(HWY_DISPATCH_TABLE(pack_vectors), facts.isa_bit)
                       : cpu::pick(HWY_DISPATCH_TABLE(pack_rows), facts.isa_bit)),
        multiply_(along_k_ ? cpu::pick(HWY_DISPATCH_TABLE(dot), facts.isa_bit)
                           : cpu::pick(HWY_DISPATCH_TABLE(scaled), facts.isa_bit)) {
    const double columns = static_cast<double>(shape_.batch) * static_cast<double>(shape_.small());
    const double work = columns * static_cast<double>(shape_.big()) * static_cast<double>(shape_.k);
    tasks_ = task_count(problem.threads, shape_.batch * units(), work, kGrain);
    prefetches_ =
        shape_.batch * shape_.big() * shape_.k * static_cast<int64_t>(size_of(dtype_)) > tasks_ * facts.l2_bytes * 3 / 4;
    pack_tasks_ =
        task_count(problem.threads, shape_.batch * vectors_, columns * static_cast<double>(shape_.k) * kPackCost, kGrain);
  }

  size_t workspace() const override { return packs_ ? static_cast<size_t>(shape_.batch * packed_floats()) * sizeof(float) : 0; }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (shape_.batch == 0 || shape_.small() == 0) return Code::ok;
    auto* packed = reinterpret_cast<float*>(workspace);
    if (packs_ && vectors_ > 0)
      over(shape_.batch, vectors_, pack_tasks_, executor, [&](int64_t batch, int64_t begin, int64_t end) {
        pack_(columns(args, batch), shape_.k, shape_.small(), begin, end, packed + batch * packed_floats());
      });
    over(shape_.batch, units(), tasks_, executor, [&](int64_t batch, int64_t begin, int64_t end) {
      multiply_(piece(args, packed, batch), begin * unit(), std::min(end * unit(), shape_.big()));
    });
    return Code::ok;
  }

 private:
  // What tasks share: rows, or cache lines of a row.
  int64_t unit() const { return along_k_ ? 1 : 64 / static_cast<int64_t>(size_of(dtype_)); }
  int64_t units() const { return (shape_.big() + unit() - 1) / unit(); }
  int64_t packed_floats() const { return vectors_ * lanes_ * shape_.small(); }

  bool needs_packing() const {
    if (dtype_ != DType::f32) return true;
    const bool contiguous_k = shape_.weights_in_a() ? shape_.tb : !shape_.ta;
    if (along_k_) return shape_.small() > 1 || !contiguous_k;
    return shape_.small() > 1 && contiguous_k;
  }

  Operand weights(const Args& args, int64_t batch) const {
    return shape_.weights_in_a() ? operand_a(shape_, dtype_, args.in[0], batch) : operand_b(shape_, dtype_, args.in[1], batch);
  }

  // X as K rows of n columns.
  Operand columns(const Args& args, int64_t batch) const {
    if (shape_.weights_in_a()) return operand_b(shape_, dtype_, args.in[1], batch);
    const Operand a = operand_a(shape_, dtype_, args.in[0], batch);
    return {dtype_, a.data, a.column, a.row};
  }

  // Calls function(batch, begin, end) for all of batches × [0, count), each task's share in as few calls as it takes.
  template <typename Function>
  static void over(int64_t batches, int64_t count, int64_t tasks, Executor& executor, const Function& function) {
    executor.parallel(static_cast<size_t>(tasks), [&](size_t task) {
      const Share mine = share(batches * count, tasks, static_cast<int64_t>(task));
      for (int64_t at = mine.begin; at < mine.end;) {
        const int64_t batch = at / count, end = std::min(mine.end, (batch + 1) * count);
        function(batch, at - batch * count, end - batch * count);
        at = end;
      }
    });
  }

  Columns piece(const Args& args, const float* packed, int64_t batch) const {
    const bool in_a = shape_.weights_in_a();
    const Operand x = columns(args, batch);
    return {.k = shape_.k,
            .n = shape_.small(),
            .dtype = dtype_,
            .w = weights(args, batch).data,
            .w_row = in_a ? shape_.lda : shape_.ldb,
            .x = packs_ ? packed + batch * packed_floats() : static_cast<const float*>(x.data),
            .x_step = packs_ ? shape_.small() : x.row,
            .out_dtype = out_dtype_,
            .y = output_at(shape_, out_dtype_, args.out, batch, 0, 0),
            .y_big = in_a ? shape_.ldc : 1,
            .y_column = in_a ? 1 : shape_.ldc,
            .alpha = shape_.alpha,
            .beta = shape_.beta,
            .rows = rows_,
            .prefetches = prefetches_};
  }

  MatmulShape shape_;
  DType dtype_, out_dtype_;
  int64_t rows_;
  bool along_k_;
  int64_t lanes_, vectors_;
  bool packs_;
  Pack pack_;
  Multiply multiply_;
  int64_t tasks_, pack_tasks_;
  bool prefetches_;
};

}  // namespace

extern const Variant cpu_gemv = {
    .family = "gemv",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceFacts&) -> std::optional<std::string> {
      const int64_t n = problem.matmul().small();
      if (n > kMostColumns) return fmt::format("n = {} is above {}", n, kMostColumns);
      return std::nullopt;
    },
    // One column needs four rows for their independent sums, many need them for the sharing of loads, if the registers
    // suffice; in between two are better, and fewer streams. Dot products of many columns share most with six.
    .prefer =
        [](const Problem& problem, const DeviceFacts& facts) {
          const int64_t n = problem.matmul().small();
          const bool dots = along_k(problem.matmul()), wide = facts.isa.starts_with("AVX3");
          if (dots && wide && n > 8) return kTunings[3];
          return kTunings[n > 4 ? (wide ? 2 : 1) : n == 1 && dots ? 2 : 1];
        },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts, Planner&)
        -> Result<std::unique_ptr<const Kernel>> { return std::make_unique<CpuGemv>(problem, tuning["rows"], facts); },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceFacts& facts) -> std::optional<std::string> {
      return (along_k(problem.matmul()) ? "dot;" : "scaled_rows;") + facts.isa;
    },
};

}  // namespace metallic::matmul
#endif
