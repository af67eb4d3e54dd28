// Every variant × tuning × edge shape × ISA of this machine against the oracle: a new variant is tested by being there.
#include "kernels/variants.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <limits>
#include <set>

#include "backends/cpu/facts.h"
#include "backends/cpu/isa.h"
#include "backends/cpu/libraries.h"
#include "backends/cpu/pool.h"
#include "core/label.h"
#include "core/planner.h"
#include "kernels/oracle.h"

namespace metallic {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

class NoPlanner final : public Planner {
 public:
  Result<Plan> plan_part(const Problem&) override { return fail(Code::unsupported, "no parts in this test"); }
};

// Floats that end at an unreadable page, so that a kernel that looks past its operand dies; unaligned as a side effect.
class Guarded {
 public:
  explicit Guarded(int64_t bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t body = (static_cast<size_t>(bytes) + page - 1) / page * page;
    size_ = body + page;
    base_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + body, page, PROT_NONE) != 0) throw std::bad_alloc();
    count_ = static_cast<size_t>(bytes) / sizeof(float);
    data_ = reinterpret_cast<float*>(base_ + body - count_ * sizeof(float));
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, size_); }

  float* data() const { return data_; }
  size_t size() const { return count_; }

 private:
  char* base_;
  size_t size_;
  size_t count_;
  float* data_;
};

struct Instance {
  const Variant* variant;
  Tuning tuning;
  DeviceFacts facts;
};

// This machine with the libraries that it has.
DeviceFacts all_facts() {
  DeviceFacts facts = cpu::facts();
  facts.libraries = cpu::libraries();
  return facts;
}

std::vector<Instance> instances(Op op) {
  std::vector<Instance> all;
  const auto isas = cpu::supported_isas();
  for (const auto& isa : isas)
    for (const Variant& variant : variants(op))
      for (const Tuning& tuning : variant.tunings) {
        if (variant.family == "library" && isa.bit != isas.front().bit) continue;  // it picks a target itself
        DeviceFacts facts = all_facts();
        facts.isa = isa.name;
        facts.isa_bit = isa.bit;
        all.push_back({&variant, tuning, facts});
      }
  return all;
}

// Runs a problem and returns what is wrong with the result, or nothing.
std::optional<std::string> run(const Instance& instance, const Problem& problem, const Args& args, const float* c_before,
                               Executor& executor) {
  NoPlanner planner;
  auto kernel = instance.variant->prepare(problem, instance.tuning, instance.facts, planner);
  if (!kernel) return kernel.error().message;
  // The workspace ends at a guard page too: it is exact.
  Guarded workspace(static_cast<int64_t>(((*kernel)->workspace() + 63) / 64 * 64));
  std::memset(workspace.data(), 0xff, workspace.size() * sizeof(float));
  const Code code = (*kernel)->run(args, reinterpret_cast<std::byte*>(workspace.data()), executor);
  if (code != Code::ok) return std::string(name(code));
  return first_difference(problem, args, c_before);
}

std::string describe(const Instance& instance, const Problem& problem) {
  return fmt::format("{} on {}, {} threads, {}", to_string(*instance.variant, instance.tuning), instance.facts.isa,
                     problem.threads, label(problem));
}

enum class Rows { random, wide, with_infinities, all_minus_infinity, with_nan, equal };

void fill_rows(const SoftmaxShape& s, Rows kind, uint64_t seed, Guarded& in) {
  std::vector<float> random(static_cast<size_t>(s.rows() * s.seq_k) + 1);
  fill_random(DType::f32, random.data(), random.size(), seed);
  for (size_t i = 0; i < in.size(); ++i) in.data()[i] = kNaN;  // what lies between rows
  for (int64_t row = 0; row < s.rows(); ++row)
    for (int64_t j = 0; j < s.seq_k; ++j) {
      float& x = in.data()[row * s.in_stride + j];
      x = random[static_cast<size_t>(row * s.seq_k + j)];
      switch (kind) {
        case Rows::random: break;
        case Rows::wide: x *= 88; break;
        case Rows::with_infinities: x = x > 0.5f ? -kInf : x; break;
        case Rows::all_minus_infinity: x = -kInf; break;
        case Rows::with_nan: x = j == s.seq_k / 2 ? kNaN : x; break;
        case Rows::equal: x = -1e30f; break;
      }
    }
}

void check_softmax(Problem problem, Rows kind, Executor& executor) {
  problem.threads = executor.threads();
  const auto& s = problem.softmax();
  const auto bytes = operand_bytes(problem);
  Guarded in(bytes[0]), out(bytes[kOut]);
  fill_rows(s, kind, 17, in);
  for (const Instance& instance : instances(Op::softmax)) {
    if (instance.variant->rejects(problem, instance.tuning, instance.facts)) continue;
    if (kind == Rows::with_nan && instance.variant->family == "library") continue;  // it spreads NaN in its own way
    for (size_t i = 0; i < out.size(); ++i) out.data()[i] = kNaN;
    const auto wrong = run(instance, problem, {.in = {in.data()}, .out = out.data()}, nullptr, executor);
    ASSERT_FALSE(wrong) << describe(instance, problem) << ": " << *wrong;
    for (int64_t row = 0; row + 1 < s.rows(); ++row)
      for (int64_t j = s.seq_k; j < s.out_stride; ++j)
        ASSERT_TRUE(std::isnan(out.data()[row * s.out_stride + j])) << describe(instance, problem) << " wrote between rows";
  }
}

const std::vector<int64_t> kEdges = {0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 255, 257};

TEST(SoftmaxVariants, AgreeWithTheReferenceOnEdgeShapes) {
  cpu::Pool pool(3);
  for (const int64_t rows : {0, 1, 2, 5})
    for (const int64_t seq_k : kEdges) check_softmax(softmax_problem(rows, seq_k), Rows::random, pool);
  for (const int64_t seq_k : {1023, 1024, 1025, 4095, 4097, 20000}) check_softmax(softmax_problem(7, seq_k), Rows::random, pool);
}

TEST(SoftmaxVariants, ShareOneLongRowAmongThreads) {
  for (const int threads : {1, 2, 4}) {
    cpu::Pool pool(threads);
    check_softmax(softmax_problem(1, 40001), Rows::wide, pool);
    check_softmax(softmax_problem(3, 17000), Rows::random, pool);
  }
}

TEST(SoftmaxVariants, TreatSpecialValuesAsTheReferenceDoes) {
  cpu::Pool pool(2);
  for (const Rows kind : {Rows::wide, Rows::with_infinities, Rows::all_minus_infinity, Rows::with_nan, Rows::equal})
    for (const int64_t seq_k : {1, 3, 16, 65, 1500, 9000}) check_softmax(softmax_problem(4, seq_k), kind, pool);
}

TEST(SoftmaxVariants, MaskCausally) {
  cpu::Pool pool(2);
  for (const int64_t seq_k : {1, 17, 64, 5000})
    for (const int64_t offset : {int64_t{-40}, int64_t{-1}, int64_t{0}, seq_k - 33, seq_k, int64_t{1} << 48}) {
      Problem problem = softmax_problem(2, 33, seq_k);
      make_causal(std::get<SoftmaxShape>(problem.shape), offset);
      check_softmax(problem, Rows::random, pool);
    }
}

TEST(SoftmaxVariants, LeaveMemoryBetweenRowsAlone) {
  cpu::Pool pool(2);
  for (const int64_t seq_k : {1, 15, 64, 4100}) {
    Problem problem = softmax_problem(5, seq_k);
    auto& s = std::get<SoftmaxShape>(problem.shape);
    s.in_stride = seq_k + 3;
    s.out_stride = seq_k + 5;
    check_softmax(problem, Rows::random, pool);
  }
}

TEST(SoftmaxVariants, WorkInPlace) {
  InlineExecutor executor;
  const Problem problem = softmax_problem(3, 5001);
  const auto bytes = operand_bytes(problem);
  Guarded in(bytes[0]), out(bytes[kOut]);
  fill_rows(problem.softmax(), Rows::random, 3, in);
  NoPlanner planner;
  for (const Instance& instance : instances(Op::softmax)) {
    if (instance.variant->family == "reference" || instance.variant->rejects(problem, instance.tuning, instance.facts)) continue;
    std::memcpy(out.data(), in.data(), static_cast<size_t>(bytes[0]));
    auto kernel = instance.variant->prepare(problem, instance.tuning, instance.facts, planner);
    ASSERT_TRUE(kernel);
    std::vector<std::byte> workspace((*kernel)->workspace());
    ASSERT_EQ((*kernel)->run({.in = {out.data()}, .out = out.data()}, workspace.data(), executor), Code::ok);
    const auto wrong = first_difference(problem, {.in = {in.data()}, .out = out.data()}, nullptr);
    ASSERT_FALSE(wrong) << describe(instance, problem) << ": " << *wrong;
  }
}

void check_matmul(Problem problem, Executor& executor, bool integers = false) {
  problem.threads = executor.threads();
  const auto& s = problem.matmul();
  const auto bytes = operand_bytes(problem);
  Guarded a(bytes[0]), b(bytes[1]), c(bytes[kOut]);
  std::vector<float> before(c.size());
  uint64_t seed = 23;
  // Everything is NaN but the elements of the operands, so that whatever reads between rows shows.
  const auto fill = [&](float* data, size_t size, int64_t stride, int64_t batch_stride, int64_t rows, int64_t columns) {
    std::fill_n(data, size, kNaN);
    std::vector<float> row(static_cast<size_t>(columns));
    for (int64_t batch = 0; batch < s.batch; ++batch)
      for (int64_t i = 0; i < rows; ++i) {
        fill_random(DType::f32, row.data(), row.size(), ++seed);
        for (int64_t j = 0; j < columns; ++j) {
          const float x = row[static_cast<size_t>(j)];
          data[batch * batch_stride + i * stride + j] = integers ? std::round(x * 8) : x;
        }
      }
  };
  fill(a.data(), a.size(), s.lda, s.batch_stride_a, s.ta ? s.k : s.m, s.ta ? s.m : s.k);
  fill(b.data(), b.size(), s.ldb, s.batch_stride_b, s.tb ? s.n : s.k, s.tb ? s.k : s.n);
  if (s.beta == 0)
    std::fill(before.begin(), before.end(), kNaN);  // must not be read
  else
    fill(before.data(), before.size(), s.ldc, s.batch_stride_c, s.m, s.n);
  for (const Instance& instance : instances(Op::matmul)) {
    if (instance.variant->rejects(problem, instance.tuning, instance.facts)) continue;
    std::copy(before.begin(), before.end(), c.data());
    const Args args{.in = {a.data(), b.data()}, .out = c.data()};
    const auto wrong = run(instance, problem, args, before.data(), executor);
    ASSERT_FALSE(wrong) << describe(instance, problem) << ": " << *wrong;
    if (integers) {
      for (int64_t i = 0; i < s.m; ++i)
        for (int64_t j = 0; j < s.n; ++j)
          ASSERT_EQ(c.data()[i * s.ldc + j], std::round(c.data()[i * s.ldc + j])) << describe(instance, problem);
    }
    for (int64_t i = 0; i + 1 < s.m; ++i)
      for (int64_t j = s.n; j < s.ldc; ++j)
        ASSERT_TRUE(std::isnan(c.data()[i * s.ldc + j])) << describe(instance, problem) << " wrote between rows";
  }
}

TEST(MatmulVariants, AgreeWithTheReferenceOnEdgeShapes) {
  cpu::Pool pool(2);
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      for (const int64_t small : {0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17})
        for (const int64_t big : {1, 15, 16, 33, 65})
          for (const int64_t k : {0, 1, 3, 17, 64}) {
            check_matmul(matmul_problem(big, k, small, ta, tb), pool);
            check_matmul(matmul_problem(small, k, big, ta, tb), pool);
          }
      for (const auto& [m, k, n] :
           {std::array{129, 300, 127}, {64, 513, 33}, {31, 257, 300}, {1, 1000, 2}, {300, 2, 1}, {5, 4099, 3}})
        check_matmul(matmul_problem(m, k, n, ta, tb), pool);
    }
}

TEST(MatmulVariants, ScaleAndAccumulate) {
  cpu::Pool pool(3);
  for (const auto& [alpha, beta] : {std::array{2.0f, 0.0f}, {-0.5f, 1.0f}, {1.0f, 0.25f}, {0.0f, 1.5f}})
    for (const auto& [m, k, n] : {std::array{37, 70, 5}, {5, 70, 37}, {70, 0, 9}, {90, 40, 65}}) {
      Problem problem = matmul_problem(m, k, n, false, m < n);
      auto& s = std::get<MatmulShape>(problem.shape);
      s.alpha = alpha;
      s.beta = beta;
      check_matmul(problem, pool);
    }
}

TEST(MatmulVariants, KeepToTheirRowsAndMatrices) {
  cpu::Pool pool(2);
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const auto& [m, k, n] : {std::array{33, 47, 4}, {3, 47, 50}, {70, 33, 40}}) {
        Problem problem = matmul_problem(m, k, n, ta, tb, 3);
        auto& s = std::get<MatmulShape>(problem.shape);
        s.lda += 3;
        s.ldb += 5;
        s.ldc += 1;
        s.batch_stride_a = (ta ? k : m) * s.lda + 7;
        s.batch_stride_b = (tb ? n : k) * s.ldb;
        s.batch_stride_c = m * s.ldc + 2;
        check_matmul(problem, pool);
        s.batch_stride_b = 0;  // one B for all
        check_matmul(problem, pool);
      }
}

TEST(MatmulVariants, AreExactOnIntegers) {
  cpu::Pool pool(2);
  for (const auto& [m, k, n] : {std::array{40, 1000, 16}, {16, 1000, 40}, {100, 700, 90}})
    for (const bool tb : {false, true}) check_matmul(matmul_problem(m, k, n, false, tb), pool, /*integers=*/true);
}

TEST(Variants, GiveTheSameBitsForAnyNumberOfThreads) {
  NoPlanner planner;
  const DeviceFacts facts = cpu::facts();
  for (const Problem& wanted : {softmax_problem(2, 30000), matmul_problem(500, 300, 7), matmul_problem(120, 300, 130)}) {
    const auto bytes = operand_bytes(wanted);
    Guarded a(bytes[0]), b(bytes[1] ? bytes[1] : 64), out(bytes[kOut]);
    fill_random(DType::f32, a.data(), a.size(), 5);
    fill_random(DType::f32, b.data(), b.size(), 6);
    for (const Variant& variant : variants(wanted.op()))
      for (const Tuning& tuning : variant.tunings) {
        if (!variant.reduction_id(wanted, tuning, facts) || variant.rejects(wanted, tuning, facts)) continue;
        std::vector<float> first;
        for (const int threads : {1, 2, 3}) {
          cpu::Pool pool(threads);
          Problem problem = wanted;
          problem.threads = threads;
          auto kernel = variant.prepare(problem, tuning, facts, planner);
          ASSERT_TRUE(kernel);
          std::unique_ptr<std::byte[]> workspace(new (std::align_val_t(64)) std::byte[(*kernel)->workspace() + 64]);
          ASSERT_EQ((*kernel)->run({.in = {a.data(), b.data()}, .out = out.data()}, workspace.get(), pool), Code::ok);
          ::operator delete[](workspace.release(), std::align_val_t(64));
          if (first.empty()) first.assign(out.data(), out.data() + out.size());
          ASSERT_EQ(0, std::memcmp(first.data(), out.data(), out.size() * sizeof(float)))
              << to_string(variant, tuning) << " with " << threads << " threads";
        }
      }
  }
}

TEST(Variants, HaveUniqueNamesTuningsAndPreferOneOfThem) {
  const DeviceFacts facts = cpu::facts();
  for (const Op op : kOps) {
    std::set<std::string> seen;
    ASSERT_GE(variants(op).size(), 2u);
    for (const Variant& variant : variants(op)) {
      EXPECT_EQ(variant.backend(), "cpu");
      ASSERT_FALSE(variant.tunings.empty());
      for (const Tuning& tuning : variant.tunings) {
        EXPECT_TRUE(seen.insert(to_string(variant, tuning)).second);
        EXPECT_EQ(find_tuning(variant, to_string(tuning)), tuning);
      }
      const Problem problem = op == Op::softmax  ? softmax_problem(4, 100)
                              : op == Op::matmul ? matmul_problem(64, 64, 4)
                                                 : sdpa_problem(1, 4, 2, 3, 50, 16);
      EXPECT_TRUE(find_tuning(variant, to_string(variant.prefer(problem, facts))));
    }
  }
}

}  // namespace
}  // namespace metallic
