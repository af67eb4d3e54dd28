// matmul in every storage: variants × tunings × ISAs × pairs of types against the definition, with guard pages behind every
// operand and the workspace and NaN between rows.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <new>

#include "backends/cpu/facts.h"
#include "backends/cpu/isa.h"
#include "backends/cpu/pool.h"
#include "core/label.h"
#include "core/planner.h"
#include "kernels/element.h"
#include "kernels/matmul/contract.h"
#include "kernels/oracle.h"
#include "kernels/variants.h"

namespace metallic {
namespace {

class NoPlanner final : public Planner {
 public:
  Result<Plan> plan_part(const Problem&) override { return fail(Code::unsupported, "no parts in this test"); }
};

// Bytes that end at an unreadable page; all ones at first, which is NaN in every type.
class Guarded {
 public:
  explicit Guarded(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), body = (bytes_ + page - 1) / page * page;
    size_ = body + page;
    base_ = static_cast<std::byte*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + body, page, PROT_NONE) != 0) throw std::bad_alloc();
    data_ = base_ + body - bytes_;
    std::memset(data_, 0xff, bytes_);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, size_); }

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_, size_;
  std::byte *base_, *data_;
};

struct Instance {
  const Variant* variant;
  Tuning tuning;
  DeviceFacts facts;
};

const std::vector<Instance>& instances() {
  static const std::vector<Instance> all = [] {
    std::vector<Instance> found;
    for (const auto& isa : cpu::supported_isas())
      for (const Variant& variant : variants(Op::matmul))
        for (const Tuning& tuning : variant.tunings) {
          if (variant.family == "reference") continue;
          DeviceFacts facts = cpu::facts();
          facts.isa = isa.name;
          facts.isa_bit = isa.bit;
          found.push_back({&variant, tuning, facts});
        }
    return found;
  }();
  return all;
}

struct Types {
  DType in, out;
};
constexpr Types kTypes[] = {{DType::f32, DType::f32}, {DType::f16, DType::f16},  {DType::bf16, DType::bf16},
                            {DType::f32, DType::f16}, {DType::f32, DType::bf16}, {DType::f16, DType::f32},
                            {DType::bf16, DType::f32}};

Problem typed(Problem problem, Types types) {
  problem.dtype = types.in;
  problem.out_dtype = types.out;
  return problem;
}

// A problem's operands and what C holds before; everything is NaN but the elements.
struct Operands {
  explicit Operands(const Problem& problem)
      : a(operand_bytes(problem)[0]),
        b(operand_bytes(problem)[1]),
        c(operand_bytes(problem)[kOut]),
        before(c.bytes(), std::byte{0xff}) {}

  // The elements of stored matrices, row by row as function() gives them.
  template <typename Function>
  static void fill(DType dtype, std::byte* data, int64_t batch, int64_t batch_stride, int64_t stride, int64_t rows,
                   int64_t columns, Function& function) {
    for (int64_t matrix = 0; matrix < batch; ++matrix)
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) set_element(dtype, data, matrix * batch_stride + i * stride + j, function());
  }

  template <typename A, typename B, typename C>
  void fill(const Problem& problem, A&& of_a, B&& of_b, C&& of_c) {
    const MatmulShape& s = problem.matmul();
    fill(problem.dtype, a.data(), s.batch, s.batch_stride_a, s.lda, s.ta ? s.k : s.m, s.ta ? s.m : s.k, of_a);
    fill(problem.dtype, b.data(), s.batch, s.batch_stride_b, s.ldb, s.tb ? s.n : s.k, s.tb ? s.k : s.n, of_b);
    if (s.beta != 0) fill(problem.out_dtype, before.data(), s.batch, s.batch_stride_c, s.ldc, s.m, s.n, of_c);
  }

  Args args() const { return {.in = {a.data(), b.data()}, .out = c.data()}; }

  Guarded a, b, c;
  std::vector<std::byte> before;
};

class Uniform {
 public:
  explicit Uniform(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  double operator()() { return static_cast<double>(next() >> 40) * 0x1p-23 - 1; }
  int64_t below(int64_t most) { return static_cast<int64_t>(next() >> 33) % most; }

 private:
  uint64_t next() { return state_ = state_ * 6364136223846793005u + 1442695040888963407u; }
  uint64_t state_;
};

std::string describe(const Instance& instance, const Problem& problem) {
  return fmt::format("{} on {}, {} threads, {} to {}, {}", to_string(*instance.variant, instance.tuning), instance.facts.isa,
                     problem.threads, name(problem.dtype), name(problem.out_dtype), label(problem));
}

// Computes C with an instance that does not reject the problem; says what went wrong.
std::optional<std::string> run(const Instance& instance, const Problem& problem, const Operands& operands, Executor& executor) {
  NoPlanner planner;
  auto kernel = instance.variant->prepare(problem, instance.tuning, instance.facts, planner);
  if (!kernel) return kernel.error().message;
  if (!operands.before.empty()) std::memcpy(operands.c.data(), operands.before.data(), operands.before.size());
  const Guarded workspace(static_cast<int64_t>(((*kernel)->workspace() + 63) / 64 * 64));
  const Code code = (*kernel)->run(operands.args(), workspace.data(), executor);
  if (code != Code::ok) return std::string(name(code));
  const MatmulShape& s = problem.matmul();
  const size_t size = size_of(problem.out_dtype);
  for (int64_t batch = 0; batch < s.batch; ++batch)
    for (int64_t i = 0; i < s.m && s.ldc > s.n; ++i) {
      const auto end = static_cast<size_t>(batch * s.batch_stride_c + i * s.ldc + s.n) * size;
      const auto next = std::min(end + static_cast<size_t>(s.ldc - s.n) * size, operands.before.size());
      if (std::memcmp(operands.c.data() + end, operands.before.data() + end, next - end) != 0) return "wrote between rows";
    }
  return std::nullopt;
}

void check(Problem problem, Executor& executor, uint64_t seed) {
  problem.threads = executor.threads();
  Operands operands(problem);
  Uniform random(seed);
  operands.fill(problem, random, random, random);
  for (const Instance& instance : instances()) {
    if (instance.variant->rejects(problem, instance.tuning, instance.facts)) continue;
    auto wrong = run(instance, problem, operands, executor);
    if (!wrong) wrong = first_difference(problem, operands.args(), operands.before.data(), 24, seed);
    ASSERT_FALSE(wrong) << describe(instance, problem) << ": " << *wrong;
  }
}

TEST(MatmulTypes, AgreeWithTheDefinitionOnEdgeShapes) {
  cpu::Pool pools[] = {cpu::Pool(1), cpu::Pool(2), cpu::Pool(3)};
  uint64_t at = 0;
  for (const Types types : kTypes)
    for (int64_t n = 1; n <= 17; ++n)
      for (const int64_t k : {0, 1, 3, 17, 64, 300}) {
        // Every fourth of a cycle that is prime to the others is another layout.
        const bool ta = at % 2, tb = at / 2 % 2, tall = at / 4 % 2;
        const int64_t big = std::array{1, 15, 16, 33, 65}[at % 5];
        check(typed(tall ? matmul_problem(big, k, n, ta, tb) : matmul_problem(n, k, big, ta, tb), types), pools[at % 3], at);
        ++at;
      }
}

TEST(MatmulTypes, AgreeWithTheDefinitionInEveryLayout) {
  cpu::Pool pools[] = {cpu::Pool(1), cpu::Pool(2), cpu::Pool(3)};
  uint64_t at = 0;
  for (const Types types : kTypes)
    for (const bool ta : {false, true})
      for (const bool tb : {false, true})
        for (const auto& [m, k, n] : {std::array{50, 67, 3},
                                      {3, 67, 50},
                                      {23, 1100, 35},
                                      {1, 4099, 2},
                                      {5, 4099, 3},
                                      {31, 257, 100},
                                      {300, 2, 1},
                                      {0, 5, 7}})
          check(typed(matmul_problem(m, k, n, ta, tb), types), pools[at % 3], at), ++at;
}

TEST(MatmulTypes, KeepToTheirRowsAndMatrices) {
  cpu::Pool pool(2);
  for (const Types types : kTypes)
    for (const bool ta : {false, true})
      for (const bool tb : {false, true})
        for (const auto& [m, k, n] : {std::array{33, 47, 4}, {3, 47, 50}, {37, 33, 40}}) {
          Problem problem = typed(matmul_problem(m, k, n, ta, tb, 3), types);
          auto& s = std::get<MatmulShape>(problem.shape);
          s.lda += 3;
          s.ldb += 5;
          s.ldc += 1;
          s.batch_stride_a = (ta ? k : m) * s.lda + 7;
          s.batch_stride_b = tb ? 0 : k * s.ldb;  // one B for all, or each its own
          s.batch_stride_c = m * s.ldc + 2;
          check(problem, pool, 1);
        }
}

TEST(MatmulTypes, ScaleAndAccumulate) {
  cpu::Pool pool(3);
  for (const Types types : kTypes)
    for (const auto& [alpha, beta] : {std::array{2.0f, 0.0f}, {-0.5f, 1.0f}, {1.0f, 0.25f}, {0.0f, 1.5f}})
      for (const auto& [m, k, n] : {std::array{37, 70, 5}, {5, 70, 37}, {70, 0, 9}, {40, 1, 35}, {20, 0, 33}, {20, 1030, 35}}) {
        Problem problem = typed(matmul_problem(m, k, n, false, m < n), types);
        auto& s = std::get<MatmulShape>(problem.shape);
        s.alpha = alpha;
        s.beta = beta;
        check(problem, pool, 2);
      }
}

// Sums below 2²⁴ times a power of two are exact in f32, so that C is the exact value rounded once. Powers of two that make
// every element of A a denormal, and sums that leave the range of f16, are among them.
TEST(MatmulTypes, RoundExactSumsOnce) {
  cpu::Pool pool(2);
  for (const Types types : kTypes)
    for (const double unit : {1.0, 4.0, 0x1p-24, 0x1p-133}) {
      if (unit < 0x1p-24 && (types.in == DType::f16 || types.out == DType::f16)) continue;
      for (const auto& [m, k, n] : {std::array{40, 1000, 3}, {11, 1000, 40}, {25, 1500, 33}})
        for (const bool tb : {false, true}) {
          const Problem problem = typed(matmul_problem(m, k, n, !tb, tb), types);
          const MatmulShape& s = problem.matmul();
          Operands operands(problem);
          Uniform random(3);
          operands.fill(
              problem, [&] { return unit * static_cast<double>(random.below(9)); },
              [&] { return static_cast<double>(random.below(9)); }, random);
          std::vector<double> exact;
          with_type(types.in, [&]<typename In>(In) {
            const auto a = matmul::operand_a<In>(s, operands.a.data(), 0), b = matmul::operand_b<In>(s, operands.b.data(), 0);
            for (int64_t i = 0; i < m; ++i)
              for (int64_t j = 0; j < n; ++j) {
                double sum = 0;
                for (int64_t l = 0; l < k; ++l) sum += static_cast<double>(to_float(a.at(i, l))) * to_float(b.at(l, j));
                exact.push_back(sum);
              }
          });
          for (const Instance& instance : instances()) {
            if (instance.variant->rejects(problem, instance.tuning, instance.facts)) continue;
            const auto wrong = run(instance, problem, operands, pool);
            ASSERT_FALSE(wrong) << describe(instance, problem) << ": " << *wrong;
            with_type(types.out, [&]<typename Out>(Out) {
              for (int64_t i = 0; i < m * n; ++i)
                ASSERT_EQ(element(types.out, operands.c.data(), i), to_float(from_double<Out>(exact[static_cast<size_t>(i)])))
                    << describe(instance, problem) << " at " << i << ", exactly " << exact[static_cast<size_t>(i)];
            });
          }
        }
    }
}

TEST(MatmulTypes, PropagateInfinitiesAndNaN) {
  cpu::Pool pool(2);
  for (const Types types : kTypes)
    for (const auto& [m, k, n] : {std::array{20, 35, 4}, {4, 35, 20}, {20, 530, 35}})
      for (const bool tb : {false, true}) {
        const Problem problem = typed(matmul_problem(m, k, n, false, tb), types);
        const MatmulShape& s = problem.matmul();
        Operands operands(problem);
        Uniform random(4);
        operands.fill(problem, random, random, random);
        constexpr double kInf = std::numeric_limits<double>::infinity(), kNaN = std::numeric_limits<double>::quiet_NaN();
        const auto b_at = [&](int64_t l, int64_t j) { return tb ? j * s.ldb + l : l * s.ldb + j; };
        set_element(types.in, operands.a.data(), 1 * s.lda + k - 1, kInf);
        set_element(types.in, operands.a.data(), 2 * s.lda, -kInf);
        set_element(types.in, operands.b.data(), b_at(k - 1, 0), 0);  // ∞·0
        set_element(types.in, operands.b.data(), b_at(7, 2), kInf);
        set_element(types.in, operands.b.data(), b_at(k / 2, 3), kNaN);
        for (const Instance& instance : instances()) {
          if (instance.variant->rejects(problem, instance.tuning, instance.facts)) continue;
          auto wrong = run(instance, problem, operands, pool);
          if (!wrong) wrong = first_difference(problem, operands.args(), nullptr);
          ASSERT_FALSE(wrong) << describe(instance, problem) << ": " << *wrong;
        }
      }
}

// Whoever has the same reduction_id gives the same bits, whatever the rows and columns around and the threads.
TEST(MatmulTypes, EqualIdsGiveEqualBits) {
  cpu::Pool pools[] = {cpu::Pool(1), cpu::Pool(2), cpu::Pool(3)};
  for (const Types types : kTypes)
    for (const auto& [m, k, n] : {std::array{40, 800, 16}, {16, 800, 40}, {33, 800, 20}}) {
      const Problem whole = typed(matmul_problem(m, k, n, false, true), types);
      Operands operands(whole);
      Uniform random(5);
      operands.fill(whole, random, random, random);
      std::map<std::string, std::vector<std::byte>> seen;
      for (const Instance& instance : instances())
        for (int part = 0; part < 3; ++part) {
          Problem problem = whole;
          auto& s = std::get<MatmulShape>(problem.shape);
          if (part == 1) (m > n ? s.n : s.m) = 5;  // the same matrices, fewer columns or rows
          cpu::Pool& pool = pools[part];
          problem.threads = pool.threads();
          const auto id = instance.variant->reduction_id(problem, instance.tuning, instance.facts);
          if (!id || instance.variant->rejects(problem, instance.tuning, instance.facts)) continue;
          // C is as wide as in `whole`, whose bytes between rows no part writes.
          NoPlanner planner;
          auto kernel = instance.variant->prepare(problem, instance.tuning, instance.facts, planner);
          ASSERT_TRUE(kernel);
          const Guarded workspace(static_cast<int64_t>(((*kernel)->workspace() + 63) / 64 * 64));
          ASSERT_EQ((*kernel)->run(operands.args(), workspace.data(), pool), Code::ok);
          auto& first = seen[*id];
          if (first.empty()) first.assign(operands.c.data(), operands.c.data() + operands.c.bytes());
          const size_t size = size_of(types.out);
          for (int64_t i = 0; i < s.m; ++i) {
            const auto row = static_cast<size_t>(i * s.ldc) * size;
            ASSERT_EQ(0, std::memcmp(operands.c.data() + row, first.data() + row, static_cast<size_t>(s.n) * size))
                << describe(instance, problem) << " row " << i;
          }
        }
    }
}

TEST(MatmulTypes, AreTakenByTheVariantsForThem) {
  const DeviceFacts facts = cpu::facts();
  for (const Types types : kTypes)
    for (const std::string_view name : {"cpu_gemv", "cpu_gemm"}) {
      const Variant* variant = find_variant(Op::matmul, name);
      ASSERT_TRUE(variant);
      const Problem problem = typed(matmul_problem(512, 512, 8), types);
      EXPECT_FALSE(variant->rejects(problem, variant->prefer(problem, facts), facts)) << name;
      for (const Tuning& tuning : variant->tunings)
        if (const auto reason = variant->rejects(problem, tuning, facts)) {
          EXPECT_EQ(to_string(tuning), "pack=0");
          EXPECT_NE(reason->find("f32 only"), std::string::npos);
        }
    }
}

}  // namespace
}  // namespace metallic
