// SPDX-License-Identifier: Apache-2.0
// What a run promises besides its result: it allocates nothing and takes no lock. The program's own malloc and locks count.
#include <dlfcn.h>
#include <pthread.h>

#include <filesystem>
#include <mutex>
#include <shared_mutex>

#include "device/cpu/workers.h"
#include "dispatch/context.h"
#include "ops/label.h"
#include "ops/softmax/shape.h"
#include "testing/c_interface.h"

static std::atomic<size_t> allocations{0}, locks{0};

// Sanitizers have their own allocator and locks, which must not be replaced.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool kCounts = true;
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
// Exported, or the libraries' own calls would not come here.
#pragma GCC visibility push(default)
void* malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  ++allocations;
  return __libc_memalign(alignment, size);
}
// Every way to wait for another thread that POSIX has for mutual exclusion; what the C++ library's locks are made of.
#define METALLIC_COUNTED(function, type)                                                        \
  int function(type* lock) noexcept {                                                           \
    static const auto original = reinterpret_cast<int (*)(type*)>(dlsym(RTLD_NEXT, #function)); \
    ++locks;                                                                                    \
    return original(lock);                                                                      \
  }
METALLIC_COUNTED(pthread_mutex_lock, pthread_mutex_t)
METALLIC_COUNTED(pthread_mutex_trylock, pthread_mutex_t)
METALLIC_COUNTED(pthread_rwlock_rdlock, pthread_rwlock_t)
METALLIC_COUNTED(pthread_rwlock_tryrdlock, pthread_rwlock_t)
METALLIC_COUNTED(pthread_rwlock_wrlock, pthread_rwlock_t)
METALLIC_COUNTED(pthread_rwlock_trywrlock, pthread_rwlock_t)
#pragma GCC visibility pop
}
#else
constexpr bool kCounts = false;
#endif

namespace metallic {
namespace {

class RunPromises : public CApi {
 protected:
  void SetUp() override {
    if (!kCounts) GTEST_SKIP() << "the sanitizer has its own allocator and locks";
  }
};

TEST_F(RunPromises, TheCountersCount) {
  size_t before = allocations;
  const int* volatile escapes = new int(10);  // volatile, or compilers drop the pair
  delete escapes;
  EXPECT_GE(allocations - before, 1u);
  const auto counted = [&](auto lock) {
    before = locks;
    lock();
    return locks - before;
  };
  std::mutex mutex;
  std::shared_mutex shared;
  EXPECT_EQ(counted([&] { const std::lock_guard lock(mutex); }), 1u);
  EXPECT_EQ(counted([&] { const std::unique_lock lock(mutex, std::try_to_lock); }), 1u);
  EXPECT_EQ(counted([&] { const std::unique_lock lock(shared); }), 1u);
  EXPECT_EQ(counted([&] { const std::shared_lock lock(shared); }), 1u);
  // Inside of libraries too: those of the C library lock by themselves, so our threads stand for them.
  cpu::Workers workers(2);
  EXPECT_GE(counted([&] {
              workers.run(
                  2, [](void*, size_t) {}, nullptr);
            }),
            1u)
      << "the mutex of runs";
}

TEST_F(RunPromises, RunsAllocateNothingAndTakeNoLock) {
  // An executor of the caller's, on which tasks are still split: the library's own pool waits for its threads by locks.
  Counting counting;
  const metallic_executor executor = counting.as_executor(3);
  metallic_context_options wanted = options(0);
  wanted.executor = &executor;
  const auto context = make_context(wanted);
  for (const char* label :
       {"rows64_seqk1000", "rows1_seqk40000", "batch2_seqq300_seqk300_causal", "300x300x2", "2x300x300_tb", "200x100x150",
        "64x64x64_ta", "batch1_h8kv2_seqq1_seqk700_d64_causal", "batch2_h4kv4_seqq60_seqk60_d32_causal"})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      metallic_problem given = from_label(label);
      given.dtype = dtype == DType::f32 ? METALLIC_F32 : METALLIC_BF16;
      const auto plan = make_plan(context.get(), given);
      const auto bytes = operand_bytes(with_dtype(*parse_label(label), dtype));
      const auto a = random_floats(bytes[0], 1), b = random_floats(bytes[1], 2), c = random_floats(bytes[2], 3);
      std::vector<std::byte> out(static_cast<size_t>(bytes[kOut]));
      Scratch scratch(plan.get());
      const metallic_tensors operands = {sizeof(operands), a.data(), b.data(), c.data(), out.data()};
      const size_t allocated = allocations, locked = locks;
      const metallic_status status = metallic_plan_run(plan.get(), &operands, scratch.data(), scratch.bytes());
      EXPECT_EQ(allocations - allocated, 0u) << label << ' ' << name(dtype);
      EXPECT_EQ(locks - locked, 0u) << label << ' ' << name(dtype);
      EXPECT_EQ(status, METALLIC_OK) << metallic_last_error();
    }
  EXPECT_GT(counting.tasks, 3u) << "nothing was split";
}

// Noting times, events and counts takes memory of the context's, claimed before.
TEST_F(RunPromises, WatchedRunsDoNeitherEither) {
  const std::string folder = testing::TempDir() + "metallic_run_promises_test";
  const Variable profiler("METALLIC_GPU_PROFILER", "true"), trace("METALLIC_TRACE", (folder + "/trace").c_str()),
      record("METALLIC_RECORD", (folder + "/record").c_str());
  {
    const auto context = make_context(options(1));
    const auto plan = make_plan(context.get(), from_label("rows4_seqk64"));
    const auto in = random_floats(operand_bytes(softmax_problem(4, 64))[0], 1);
    std::vector<float> out(in.size());
    const metallic_tensors operands = tensors(in.data(), nullptr, out.data());
    const size_t allocated = allocations, locked = locks;
    const metallic_status status = metallic_plan_run(plan.get(), &operands, nullptr, 0);
    EXPECT_EQ(allocations - allocated, 0u);
    EXPECT_EQ(locks - locked, 0u);
    EXPECT_EQ(status, METALLIC_OK);
  }
  std::filesystem::remove_all(folder);
}

// What a program does before each run of a plan that is there, or for a shape that it meets for the first time.
TEST_F(RunPromises, FindingAPlanAndChoosingDoNeitherEither) {
  for (const char* profile : {"", "none"}) {
    const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
      return name == "METALLIC_PROFILE" ? std::optional<std::string>(profile) : std::nullopt;
    };
    const auto context = Context::create({.threads = 2, .environment = lookup});
    ASSERT_TRUE(context) << context.error().message;
    const Variable variable("METALLIC_PROFILE", profile);
    const auto handle = make_context(options(2));
    for (const char* label : {"rows64_seqk1000", "rows1_seqk40000", "batch2_seqq30_seqk30_causal", "300x300x2", "2x300x300_tb",
                              "200x100x150", "64x64x64_tb", "batch1_h8kv2_seqq1_seqk700_d64_causal"})
      for (const DType dtype : kDTypes) {
        const Problem problem = with_dtype(*parse_label(label), dtype);
        metallic_problem c_problem = from_label(label);
        c_problem.dtype = static_cast<metallic_dtype>(static_cast<int>(dtype) + METALLIC_F32);
        metallic_plan* plan = nullptr;
        ASSERT_EQ(metallic_plan_acquire(handle.get(), &c_problem, &plan), METALLIC_OK) << metallic_last_error();
        metallic_plan_release(plan);
        ASSERT_TRUE((*context)->choose(problem)) << label;
        const size_t allocated = allocations, locked = locks;
        const bool found = metallic_plan_acquire(handle.get(), &c_problem, &plan) == METALLIC_OK;
        metallic_plan_release(plan);
        const bool chosen = (*context)->choose(problem).has_value();
        EXPECT_EQ(allocations - allocated, 0u) << label << ' ' << name(dtype);
        EXPECT_EQ(locks - locked, 0u) << label << ' ' << name(dtype);
        EXPECT_TRUE(found && chosen) << label;
      }
  }
}

}  // namespace
}  // namespace metallic
