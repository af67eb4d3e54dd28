// SPDX-License-Identifier: Apache-2.0
// The floating-point state of threads: it changes no bit of a result, and a run changes nothing of it and raises nothing.
#include <cfenv>
#include <functional>
#include <thread>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "dispatch/context.h"
#include "ops/element.h"
#include "ops/label.h"
#include "ops/operation.h"
#include "ops/registry.h"
#include "testing/c_interface.h"

namespace metallic {
namespace {

constexpr int kSurprises = FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW;

// Shapes with rows that see no key, single elements, rests of vectors and several tasks.
constexpr std::pair<const char*, std::vector<const char*> (*)()> kLabels[] = {
    {"softmax",
     [] {
       return std::vector{"rows1_seqk1",
                          "rows5_seqk17",
                          "rows300_seqk700",
                          "rows1_seqk40000",
                          "batch2_seqq30_seqk30_causal",
                          "batch1_seqq7_seqk70_causal_offset-3",
                          "batch1_seqq3_seqk9001_causal_offset-1"};
     }},
    {"matmul",
     [] {
       return std::vector{"1x1x1",        "3x7x9",     "17x65x50_tb", "50x65x17_ta",     "200x150x100_tb",
                          "1x300x500_tb", "300x500x3", "9x0x5",       "20x30x40_a2_b0.5"};
     }},
    {"sdpa", [] {
       return std::vector{"batch1_h4kv2_seqq1_seqk1_d20", "batch1_h4kv2_seqq1_seqk1500_d64",
                          "batch1_h4kv2_seqq40_seqk300_d64_causal", "batch2_h4kv2_seqq5_seqk3_d20_causal_offset-2",
                          "batch1_h4kv2_seqq3_seqk700_d64_causal_offset697"};
     }}};

// Calls visit(problem, variant) for each of our own variants on the CPU, each shape and each type.
void each_run(const std::function<void(const Problem&, const Variant&)>& visit) {
  for (const auto& [op_name, labels] : kLabels)
    for (const Variant& variant : variants(*parse_op(op_name))) {
      if (variant.backend() != "cpu" || !variant.library().empty()) continue;
      for (const char* label : labels())
        for (const DType dtype : kDTypes) visit(with_dtype(*parse_label(label), dtype), variant);
    }
}

// Operands of a problem. Some products and exponentials of theirs are denormal.
struct Operands {
  explicit Operands(const Problem& problem) {
    const auto bytes = operand_bytes(problem);
    const double large = name(problem.op()) == "matmul" ? -9.0 : -90.0;  // no sum of products exceeds the range of f16
    const double tiny = problem.dtype == DType::f16 ? 0x1p-20 : 0x1p-130;
    for (size_t i = 0; i < 4; ++i) {
      const DType dtype = i == kOut ? problem.out_dtype : problem.dtype;
      memory[i].resize(static_cast<size_t>(bytes[i]));
      const size_t count = memory[i].size() / size_of(dtype);
      fill_random(dtype, memory[i].data(), count, i + 1);
      for (size_t j = 0; j < count; j += 3)
        set_element(dtype, memory[i].data(), static_cast<int64_t>(j), j % 2 == 0 ? large : tiny);
    }
  }
  metallic_tensors tensors(void* out) const {
    return {sizeof(metallic_tensors), memory[0].data(), memory[1].data(), memory[2].data(), out};
  }
  std::vector<std::byte> memory[4];
};

// Sets a thread's state for a scope.
class State {
 public:
  explicit State(const std::function<void()>& set) {
    std::fegetenv(&before_);
    set();
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { std::fesetenv(&before_); }

 private:
  std::fenv_t before_;
};

struct NamedState {
  const char* name;
  void (*set)();
};
constexpr NamedState kStates[] = {
    {"rounds up", [] { std::fesetround(FE_UPWARD); }},
    {"rounds towards zero", [] { std::fesetround(FE_TOWARDZERO); }},
#if defined(__x86_64__)
    {"flushes denormals", [] { _mm_setcsr(_mm_getcsr() | 0x8040); }},
#endif
#if defined(__GLIBC__)
    {"traps all",
     [] {
       std::feclearexcept(FE_ALL_EXCEPT);  // one that is pending would trap at once
       feenableexcept(FE_ALL_EXCEPT);
     }},
#endif
    {"has raised all", [] { std::feraiseexcept(FE_ALL_EXCEPT); }},
};

// Everything that a run could change.
std::vector<long> observed() {
  std::vector<long> state = {std::fegetround(), std::fetestexcept(FE_ALL_EXCEPT)};
#if defined(__GLIBC__)
  state.push_back(fegetexcept());
#endif
#if defined(__x86_64__)
  state.push_back(_mm_getcsr());
#endif
  return state;
}

class FloatState : public CApi {
 protected:
  const Variable quiet_{"METALLIC_LOG_LEVEL", "error"};  // forced variants reject many of the problems
  void expect_same_bits(const metallic_context_options& wanted) {
    each_run([&](const Problem& problem, const Variant& variant) {
      const Variable force(problem.op()->variant_variable.data(), std::string(variant.name).c_str());
      const auto context = make_context(wanted);
      metallic_problem given = from_label(label(problem));
      given.dtype = given.out_dtype = static_cast<metallic_dtype>(static_cast<int>(problem.dtype) + METALLIC_F32);
      const auto plan = make_plan(context.get(), given);
      if (explain(plan.get())["variant"] != variant.name) return;  // it rejects the problem
      const Operands operands(problem);
      auto expected = operands.memory[kOut];
      ASSERT_EQ(run(plan.get(), operands.tensors(expected.data())), METALLIC_OK) << metallic_last_error();
      for (const NamedState& state : kStates) {
        auto out = operands.memory[kOut];
        const auto tensors = operands.tensors(out.data());
        Scratch scratch(plan.get());
        std::vector<long> before, after;
        metallic_status status;
        {
          const State hostile(state.set);
          before = observed();
          status = metallic_plan_run(plan.get(), &tensors, scratch.data(), scratch.bytes());
          after = observed();
        }
        EXPECT_EQ(status, METALLIC_OK) << metallic_last_error();
        EXPECT_EQ(before, after) << variant.name << ' ' << label(problem) << ' ' << name(problem.dtype) << ": " << state.name;
        EXPECT_EQ(out, expected) << variant.name << ' ' << label(problem) << ' ' << name(problem.dtype) << ": " << state.name;
      }
    });
  }
};

TEST_F(FloatState, OfTheCallerChangesNoBit) { expect_same_bits(options(2)); }

// Threads that keep a state of their own, as those of an application that flushes denormals do.
TEST_F(FloatState, OfInjectedThreadsChangesNoBit) {
  const metallic_executor executor = {.struct_size = sizeof(executor),
                                      .threads = 3,
                                      .parallel = [](void*, size_t count, void (*task)(void*, size_t), void* context) {
                                        std::vector<std::thread> threads;
                                        for (size_t i = 0; i < count; ++i)
                                          threads.emplace_back([=] {
                                            const State own(kStates[i % std::size(kStates)].set);
                                            const auto before = observed();
                                            task(context, i);
                                            EXPECT_EQ(observed(), before);
                                          });
                                        for (std::thread& thread : threads) thread.join();
                                      }};
  metallic_context_options wanted = options(0);
  wanted.executor = &executor;
  wanted.numerics = METALLIC_BATCH_INVARIANT;
  metallic_context_options alone = options(1);
  alone.numerics = METALLIC_BATCH_INVARIANT;
  for (const char* label : {"rows300_seqk700", "200x150x100_tb", "300x500x3", "batch1_h4kv2_seqq40_seqk300_d64_causal"}) {
    const Operands operands(*parse_label(label));
    auto expected = operands.memory[kOut], out = expected;
    EXPECT_EQ(run(make_plan(make_context(alone).get(), from_label(label)).get(), operands.tensors(expected.data())), METALLIC_OK);
    EXPECT_EQ(run(make_plan(make_context(wanted).get(), from_label(label)).get(), operands.tensors(out.data())), METALLIC_OK);
    EXPECT_EQ(out, expected) << label;
  }
}

TEST_F(FloatState, OfTheCallerChangesNoDecision) {
  const auto decision = [] {
    const auto plan = make_plan(make_context(options(2)).get(), from_label("20x30x40_a2_b0.5"));
    return explain(plan.get());
  };
  const auto expected = decision();
#if defined(__GLIBC__)
  // Only the calls themselves: JSON is read here without traps.
  metallic_context* context = nullptr;
  metallic_plan* plan = nullptr;
  const metallic_problem problem = from_label("20x30x40_a2_b0.5");
  const metallic_context_options wanted = options(2);
  std::vector<long> before, after;
  {
    const State trapping([] {
      std::feclearexcept(FE_ALL_EXCEPT);
      feenableexcept(FE_ALL_EXCEPT);
    });
    before = observed();
    metallic_context_create(&wanted, &context);
    metallic_plan_create(context, &problem, &plan);
    after = observed();
  }
  EXPECT_EQ(before, after);
  EXPECT_EQ(explain(plan), expected);
  metallic_plan_destroy(plan);
  metallic_context_destroy(context);
#endif
}

// The kernels themselves, without what protects the caller: where the data does not explain an exception, a kernel computes
// something that nobody asked for.
TEST(Kernels, RaiseNoExceptionOnFiniteData) {
  each_run([](const Problem& problem, const Variant& variant) {
    const auto lookup = [&](std::string_view name) -> std::optional<std::string> {
      if (name == problem.op()->variant_variable) return std::string(variant.name);
      return name == "METALLIC_PROFILE" ? std::optional<std::string>("none") : std::nullopt;
    };
    const auto context = Context::create({.threads = 1, .environment = lookup, .log = [](std::string_view, std::string_view) {}});
    ASSERT_TRUE(context) << context.error().message;
    const auto plan = (*context)->plan(problem);
    ASSERT_TRUE(plan) << plan.error().message;
    if (plan->choice.variant != &variant) return;
    Operands operands(problem);
    const size_t bytes = plan->kernel->workspace();
    std::vector<std::byte> memory(bytes + 63, std::byte{0xff});
    auto* const scratch = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
    const Args args{.in = {operands.memory[0].data(), operands.memory[1].data(), operands.memory[2].data()},
                    .out = operands.memory[kOut].data()};
    InlineExecutor executor;
    std::feclearexcept(FE_ALL_EXCEPT);
    const Code code = plan->kernel->run(args, scratch, executor);
    EXPECT_EQ(std::fetestexcept(kSurprises), 0) << variant.name << ' ' << label(problem) << ' ' << name(problem.dtype);
    std::feclearexcept(FE_ALL_EXCEPT);
    EXPECT_EQ(code, Code::ok);
  });
}

}  // namespace
}  // namespace metallic
