// Softmax on every pair of types: variants × tunings × ISAs of this machine against the oracle, on edge shapes and values.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "backends/cpu/facts.h"
#include "backends/cpu/isa.h"
#include "backends/cpu/pool.h"
#include "core/label.h"
#include "core/planner.h"
#include "kernels/element.h"
#include "kernels/oracle.h"
#include "kernels/softmax/contract.h"
#include "kernels/variants.h"

namespace metallic {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

class NoPlanner final : public Planner {
 public:
  Result<Plan> plan_part(const Problem&) override { return fail(Code::unsupported, "softmax has no parts"); }
};

// Splits the work as for several threads, but runs the tasks here, the last first: fast also where the cores are busy.
class Backwards final : public Executor {
 public:
  explicit Backwards(int threads) : threads_(threads) {}
  int threads() const override { return threads_; }
  void run(size_t count, Task task, void* context) override {
    while (count-- > 0) task(context, count);
  }

 private:
  int threads_;
};

struct Types {
  DType in, out;
};
constexpr std::array kTypes = {Types{DType::f32, DType::f32}, Types{DType::f16, DType::f16},  Types{DType::bf16, DType::bf16},
                               Types{DType::f32, DType::f16}, Types{DType::f32, DType::bf16}, Types{DType::f16, DType::f32},
                               Types{DType::bf16, DType::f32}};

// A tensor of any type, NaN until it is set.
class Tensor {
 public:
  Tensor(DType dtype, int64_t bytes) : dtype_(dtype), bytes_(static_cast<size_t>(bytes)) { clear(); }

  void clear() { std::memset(bytes_.data(), 0xff, bytes_.size()); }  // a NaN of every type
  double at(int64_t i) const { return element(dtype_, bytes_.data(), i); }
  void set(int64_t i, double x) { set_element(dtype_, bytes_.data(), i, x); }
  std::byte* data() { return bytes_.data(); }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  DType dtype_;
  std::vector<std::byte> bytes_;
};

enum class Values { random, wide, overflowing, all_minus_infinity, some_minus_infinity, infinity, nan, denormal, huge_equal };
constexpr std::array kSpecialValues = {
    Values::wide,     Values::overflowing, Values::all_minus_infinity, Values::some_minus_infinity,
    Values::infinity, Values::nan,         Values::denormal,           Values::huge_equal};

double special(Values kind, double x, int64_t j, int64_t seq_k, DType dtype) {
  const double largest = dtype == DType::f16 ? 65504 : 3e38;
  switch (kind) {
    case Values::random: return x;
    case Values::wide: return 88 * x;
    case Values::overflowing: return x < 0 ? -largest : largest;  // their differences are infinite in f32
    case Values::all_minus_infinity: return -kInf;
    case Values::some_minus_infinity: return x > 0 ? -kInf : x;
    case Values::infinity: return j == seq_k / 2 ? kInf : x;
    case Values::nan: return j == seq_k / 2 ? kNaN : x;
    case Values::denormal: return x * (dtype == DType::f16 ? 0x1p-15 : 0x1p-127);
    case Values::huge_equal: return -largest;
  }
  return x;
}

void fill(const Problem& problem, Values kind, Tensor& in) {
  const auto& s = problem.softmax();
  std::vector<float> random(static_cast<size_t>(s.rows() * s.seq_k));
  fill_random(DType::f32, random.data(), random.size(), 29);
  in.clear();
  for (int64_t row = 0; row < s.rows(); ++row)
    for (int64_t j = 0; j < s.seq_k; ++j)
      in.set(row * s.in_stride + j, special(kind, random[static_cast<size_t>(row * s.seq_k + j)], j, s.seq_k, problem.dtype));
}

// Calls function(kernel) for every variant, tuning and ISA; once for the definition, which has no use for an ISA.
template <typename Function>
void for_each_kernel(const Problem& problem, const Function& function) {
  NoPlanner planner;
  const auto isas = cpu::supported_isas();
  for (const auto& isa : isas)
    for (const Variant& variant : variants(Op::softmax))
      for (const Tuning& tuning : variant.tunings) {
        if (variant.family == "reference" && isa.bit != isas.front().bit) continue;
        DeviceFacts facts = cpu::facts();
        facts.isa = isa.name;
        facts.isa_bit = isa.bit;
        const auto what = fmt::format("{} on {}, {} to {}, scale {}, {}", to_string(variant, tuning), isa.name,
                                      name(problem.dtype), name(problem.out_dtype), problem.softmax().scale, label(problem));
        ASSERT_FALSE(variant.rejects(problem, tuning, facts)) << what;
        const auto kernel = variant.prepare(problem, tuning, facts, planner);
        ASSERT_TRUE(kernel) << what;
        ASSERT_NO_FATAL_FAILURE(function(**kernel)) << what;
      }
}

// Runs with a workspace of NaN that must not be written past its end.
void run(const Kernel& kernel, const Args& args, Executor& executor) {
  constexpr size_t kAfter = 256;
  const size_t size = kernel.workspace();
  std::vector<std::byte> workspace(size + kAfter + 64, std::byte{0xff});
  auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64);
  ASSERT_EQ(kernel.run(args, aligned, executor), Code::ok);
  for (size_t i = 0; i < kAfter; ++i) ASSERT_EQ(aligned[size + i], std::byte{0xff}) << "wrote past its workspace";
}

void check(Problem problem, Values kind, Executor& executor) {
  problem.threads = executor.threads();
  const auto& s = problem.softmax();
  ASSERT_TRUE(validate(problem));
  const auto bytes = operand_bytes(problem);
  Tensor in(problem.dtype, bytes[0]), out(problem.out_dtype, bytes[kOut]);
  fill(problem, kind, in);
  for_each_kernel(problem, [&](const Kernel& kernel) {
    out.clear();
    const Args args{.in = {in.data()}, .out = out.data()};
    ASSERT_NO_FATAL_FAILURE(run(kernel, args, executor));
    const auto wrong = first_difference(problem, args, nullptr);
    ASSERT_FALSE(wrong) << *wrong;
    for (int64_t row = 0; row < s.rows(); ++row) {
      for (int64_t j = softmax::visible_keys(s, row); j < s.seq_k; ++j) ASSERT_EQ(out.at(row * s.out_stride + j), 0.0);
      for (int64_t j = s.seq_k; j < s.out_stride && row + 1 < s.rows(); ++j)
        ASSERT_TRUE(std::isnan(out.at(row * s.out_stride + j))) << "wrote between rows";
    }
  });
}

Problem typed(Problem problem, Types types, float scale = 1) {
  problem.dtype = types.in;
  problem.out_dtype = types.out;
  std::get<SoftmaxShape>(problem.shape).scale = scale;
  return problem;
}

class SoftmaxTypes : public testing::TestWithParam<Types> {};

INSTANTIATE_TEST_SUITE_P(All, SoftmaxTypes, testing::ValuesIn(kTypes),
                         [](const auto& info) { return fmt::format("{}_{}", name(info.param.in), name(info.param.out)); });

TEST_P(SoftmaxTypes, AgreeWithTheDefinitionOnEdgeShapes) {
  Backwards executor(3);
  for (const float scale : {1.0f, 0.08838835f})
    for (const int64_t rows : {0, 1, 5})
      for (const int64_t seq_k : {0, 1, 3, 7, 8, 15, 16, 17, 31, 64, 65, 129, 1025})
        check(typed(softmax_problem(rows, seq_k), GetParam(), scale), Values::random, executor);
}

TEST_P(SoftmaxTypes, ShareRowsAndPiecesOfThemAmongThreads) {
  cpu::Pool pool(3);
  for (const int64_t rows : {1, 7}) check(typed(softmax_problem(rows, 20001), GetParam(), 0.3f), Values::wide, pool);
}

TEST_P(SoftmaxTypes, TreatSpecialValuesAsTheDefinitionDoes) {
  Backwards executor(2);
  for (const Values kind : kSpecialValues)
    for (const float scale : {1.0f, 0.7f, 30.0f})
      for (const int64_t seq_k : {1, 3, 33, 1500}) check(typed(softmax_problem(3, seq_k), GetParam(), scale), kind, executor);
}

TEST_P(SoftmaxTypes, MaskCausally) {
  Backwards executor(2);
  for (const int64_t seq_k : {1, 17, 64, 1030})
    for (const int64_t offset : {int64_t{-40}, int64_t{-1}, int64_t{0}, seq_k - 33, seq_k}) {
      Problem problem = typed(softmax_problem(2, 33, seq_k), GetParam(), 0.125f);
      make_causal(std::get<SoftmaxShape>(problem.shape), offset);
      for (const Values kind : {Values::random, Values::some_minus_infinity}) check(problem, kind, executor);
    }
}

// What lies behind the mask is NaN here, in the input and before it in the output.
TEST_P(SoftmaxTypes, DoNotReadBehindTheMask) {
  InlineExecutor executor;
  for (const int64_t seq_k : {40, 1100, 5000}) {
    Problem problem = typed(softmax_problem(1, 4, seq_k), GetParam(), 0.5f);
    auto& s = std::get<SoftmaxShape>(problem.shape);
    make_causal(s, seq_k / 2);
    const auto bytes = operand_bytes(problem);
    Tensor in(problem.dtype, bytes[0]), out(problem.out_dtype, bytes[kOut]);
    fill(problem, Values::random, in);
    for (int64_t row = 0; row < s.rows(); ++row)
      for (int64_t j = softmax::visible_keys(s, row); j < seq_k; ++j) in.set(row * seq_k + j, kNaN);
    for_each_kernel(problem, [&](const Kernel& kernel) {
      out.clear();
      const Args args{.in = {in.data()}, .out = out.data()};
      ASSERT_NO_FATAL_FAILURE(run(kernel, args, executor));
      const auto wrong = first_difference(problem, args, nullptr);
      ASSERT_FALSE(wrong) << *wrong;
    });
  }
}

TEST_P(SoftmaxTypes, LeaveMemoryBetweenRowsAlone) {
  Backwards executor(2);
  for (const int64_t seq_k : {1, 15, 64, 1100}) {
    Problem problem = typed(softmax_problem(5, seq_k), GetParam(), 2);
    auto& s = std::get<SoftmaxShape>(problem.shape);
    s.in_stride = seq_k + 3;
    s.out_stride = seq_k + 5;
    check(problem, Values::random, executor);
  }
}

TEST_P(SoftmaxTypes, GiveTheSameBitsForAnyNumberOfThreadsAndInPlace) {
  for (const bool causal : {false, true}) {
    Problem problem = typed(softmax_problem(1, 2, 18000), GetParam(), 0.9f);
    if (causal) make_causal(std::get<SoftmaxShape>(problem.shape), 9000);
    const auto bytes = operand_bytes(problem);
    Tensor in(problem.dtype, bytes[0]), out(problem.out_dtype, bytes[kOut]);
    fill(problem, Values::random, in);
    std::vector<std::vector<std::byte>> first;
    for (const int threads : {1, 2, 3}) {
      Backwards executor(threads);
      problem.threads = threads;
      size_t index = 0;
      for_each_kernel(problem, [&](const Kernel& kernel) {
        out.clear();
        ASSERT_NO_FATAL_FAILURE(run(kernel, {.in = {in.data()}, .out = out.data()}, executor));
        if (threads == 1) first.push_back(out.bytes());
        ASSERT_EQ(out.bytes(), first[index]) << threads << " threads";
        if (problem.dtype == problem.out_dtype) {
          std::memcpy(out.data(), in.data(), in.bytes().size());
          ASSERT_NO_FATAL_FAILURE(run(kernel, {.in = {out.data()}, .out = out.data()}, executor));
          ASSERT_EQ(out.bytes(), first[index]) << "in place, " << threads << " threads";
        }
        ++index;
      });
    }
  }
}

}  // namespace
}  // namespace metallic
