// SPDX-License-Identifier: Apache-2.0
// sdpa cpu_materialized: two matmuls with a softmax between them, each planned like a problem of its own. Scores are materialized
// in f32, one group of heads at a time, and weights in the type of the inputs.
#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

#include "base/math.h"
#include "ops/matmul/shape.h"
#include "ops/partition.h"
#include "ops/planner.h"
#include "ops/sdpa/contract.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/shape.h"
#include "ops/variant.h"

namespace metallic::sdpa {
namespace {

// heads = 0: all threads share each group of heads; heads = 1: threads share groups, and each group runs on one thread.
constexpr Tuning kTunings[] = {{{{{"heads", 0}}}}, {{{{"heads", 1}}}}};

// The products of the heads that share K and V. Their queries are rows of one matrix if the strides allow it, otherwise matrices
// of a batch.
struct GroupProblems {
  int64_t batch, rows;
  Problem scores, weights, values;
};

// The row stride of a group's queries as one matrix [group·seq_q, head_dim], or nothing if the rows are not equally spaced. With
// a single query per head, the stride of heads is the row stride.
std::optional<int64_t> folded_row(const SdpaShape& s, const HeadStrides& strides) {
  if (s.group() == 1 || strides.head == s.seq_q * strides.row) return strides.row;
  if (s.seq_q == 1 && strides.head >= s.head_dim) return strides.head;
  return std::nullopt;
}

// The keys that any query sees. The rest, such as the unused end of a cache, is never read.
int64_t seen_keys(const SdpaShape& s) { return s.seq_q == 0 ? 0 : visible_keys(s, s.seq_q - 1); }

GroupProblems group_problems(const Problem& problem, int threads) {
  const SdpaShape& s = problem.as<SdpaShape>();
  const int64_t seen = seen_keys(s);
  const auto q_row = folded_row(s, s.q), out_row = folded_row(s, s.out);
  const bool folds = q_row && out_row;
  GroupProblems group{
      .batch = folds ? 1 : s.group(), .rows = folds ? s.group() * s.seq_q : s.seq_q, .scores = {}, .weights = {}, .values = {}};
  // Scores [group·seq_q, seq_k] are contiguous.
  group.scores = matmul_problem(group.rows, s.head_dim, seen, false, true, group.batch);
  auto& scores = group.scores.as<MatmulShape>();
  scores.alpha = s.scale;
  scores.lda = folds ? *q_row : s.q.row;
  scores.batch_stride_a = s.q.head;
  scores.ldb = s.k.row;
  scores.batch_stride_b = 0;

  group.weights = softmax_problem(s.group(), s.seq_q, seen);
  if (s.causal) make_causal(group.weights.as<SoftmaxShape>(), s.offset);

  group.values = matmul_problem(group.rows, seen, s.head_dim, false, false, group.batch);
  auto& values = group.values.as<MatmulShape>();
  values.ldb = s.v.row;
  values.batch_stride_b = 0;
  values.ldc = folds ? *out_row : s.out.row;
  values.batch_stride_c = s.out.head;

  group.scores.dtype = problem.dtype;
  group.weights.out_dtype = problem.dtype;
  group.values.dtype = problem.dtype;
  group.values.out_dtype = problem.out_dtype;
  for (Problem* part : {&group.scores, &group.weights, &group.values}) part->threads = threads;
  return group;
}

// The kernel of a problem with an empty output.
class EmptyKernel final : public Kernel {
  Code run(const Args&, std::byte*, Executor&) const override { return Code::ok; }
};

class CpuMaterialized final : public Kernel {
 public:
  CpuMaterialized(const Problem& problem, bool share_heads, std::array<Plan, 3> parts)
      : problem_(problem), parts_(std::move(parts)) {
    const SdpaShape& s = problem.as<SdpaShape>();
    groups_ = s.batch * s.kv_heads;
    tasks_ = share_heads ? std::clamp<int64_t>(problem.threads, 1, std::max<int64_t>(1, groups_)) : 1;
    elements_ = s.group() * s.seq_q * seen_keys(s);
    for (const Plan& part : parts_) scratch_ = std::max(scratch_, lines(part.kernel->workspace()));
  }

  size_t workspace() const override { return static_cast<size_t>(tasks_) * bytes_per_task(); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (tasks_ == 1 && parts_[0].problem.threads > 1) return groups(args, 0, groups_, workspace, executor);
    std::atomic<Code> result = Code::ok;
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      InlineExecutor alone;
      const UnitRange mine = task_range(groups_, tasks_, static_cast<int64_t>(task));
      const Code code = groups(args, mine.begin, mine.end, workspace + task * bytes_per_task(), alone);
      if (code != Code::ok) result = code;
    });
    return result;
  }

 private:
  static size_t lines(size_t bytes) { return round_up(bytes, 64); }
  size_t scores_bytes() const { return lines(static_cast<size_t>(elements_) * sizeof(float)); }
  // In f32 the weights overwrite the scores.
  size_t weights_bytes() const {
    return problem_.dtype == DType::f32 ? 0 : lines(static_cast<size_t>(elements_) * size_of(problem_.dtype));
  }
  size_t bytes_per_task() const { return scores_bytes() + weights_bytes() + scratch_; }

  Code groups(const Args& args, int64_t begin, int64_t end, std::byte* workspace, Executor& executor) const {
    const SdpaShape& s = problem_.as<SdpaShape>();
    const auto in = static_cast<int64_t>(size_of(problem_.dtype)), out = static_cast<int64_t>(size_of(problem_.out_dtype));
    std::byte* const scores = workspace;
    std::byte* const weights = workspace + (weights_bytes() == 0 ? 0 : scores_bytes());
    std::byte* const scratch = workspace + scores_bytes() + weights_bytes();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t batch = i / s.kv_heads, shared = i % s.kv_heads, head = shared * s.group();
      const auto* q = static_cast<const std::byte*>(args.in[0]) + row_at(s.q, batch, head, 0) * in;
      const auto* k = static_cast<const std::byte*>(args.in[1]) + row_at(s.k, batch, shared, 0) * in;
      const auto* v = static_cast<const std::byte*>(args.in[2]) + row_at(s.v, batch, shared, 0) * in;
      auto* to = static_cast<std::byte*>(args.out) + row_at(s.out, batch, head, 0) * out;
      const Args each[] = {{.in = {q, k}, .out = scores}, {.in = {scores}, .out = weights}, {.in = {weights, v}, .out = to}};
      for (size_t part = 0; part < parts_.size(); ++part)
        if (const Code code = parts_[part].kernel->run(each[part], scratch, executor); code != Code::ok) return code;
    }
    return Code::ok;
  }

  Problem problem_;
  std::array<Plan, 3> parts_;
  int64_t groups_, tasks_, elements_;
  size_t scratch_ = 0;
};

}  // namespace

extern const Variant cpu_materialized = {
    .family = "materialized",
    .tunings = kTunings,
    .rejects = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
    // Sharing a group among threads costs three joins, so enough groups to fill the threads are not shared. With few queries that
    // pays off even on half of the threads: 8 groups on 16 threads decode in half the time (Llama-3.1-8B, Xeon).
    .prefer = [](const Problem& problem, const DeviceInfo&) -> const Tuning& {
      const auto& s = problem.as<SdpaShape>();
      const int64_t groups = s.batch * s.kv_heads;
      return kTunings[groups >= 2 * problem.threads || (s.seq_q <= 16 && 2 * groups >= problem.threads) ? 1 : 0];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo&,
                  Planner& planner) -> Result<std::unique_ptr<const Kernel>> {
      if (operand_bytes(problem)[kOut] == 0) return std::make_unique<EmptyKernel>();
      const auto& s = problem.as<SdpaShape>();
      const double scores = static_cast<double>(s.group()) * static_cast<double>(s.seq_q) * static_cast<double>(s.seq_k);
      if (scores * problem.threads > 0x1p56)
        return fail(Code::out_of_memory, "the scores of {} keys for each of {} queries are more than a machine holds", s.seq_k,
                    s.group() * s.seq_q);
      const bool share_heads = tuning["heads"] == 1;
      const GroupProblems group = group_problems(problem, share_heads ? 1 : problem.threads);
      std::array<Plan, 3> parts;
      METALLIC_TRY(parts[0], planner.plan_part(group.scores));
      METALLIC_TRY(parts[1], planner.plan_part(group.weights));
      METALLIC_TRY(parts[2], planner.plan_part(group.values));
      return std::make_unique<CpuMaterialized>(problem, share_heads, std::move(parts));
    },
    // The planner chooses parts whose orders of summation are as invariant as the numerics ask for.
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return "parts"; },
};

}  // namespace metallic::sdpa
