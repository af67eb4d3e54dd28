// SPDX-License-Identifier: Apache-2.0
// Metallic from C++ (17 or later): the C interface with RAII handles, builders and exceptions; header-only.
//
//   metallic::Context context;
//   const auto plan = context.plan(metallic::matmul(128, 4096, 4096).transpose_b());
//   plan.run(a, b, c);                    // any number of times
//   std::cout << plan.explain();          // why this kernel
#ifndef METALLIC_METALLIC_HPP
#define METALLIC_METALLIC_HPP

#include <metallic/metallic.h>

#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

/// Programs write metallic::Context.
namespace metallic::api {

/// Thrown by every call that fails: a status for programs, a one-line message for people.
class Error : public std::runtime_error {
 public:
  Error(metallic_status status, const char* message) : std::runtime_error(message), status_(status) {}
  metallic_status status() const noexcept { return status_; }

 private:
  metallic_status status_;
};

inline void check(metallic_status status) {
  if (status != METALLIC_OK) throw Error(status, metallic_last_error());
}

/// The common part of all shapes. Each setter returns a changed copy.
template <typename Shape>
class ShapeOf {
 public:
  /// How all tensors are stored; f32 by default.
  Shape dtype(metallic_dtype all) const { return dtype(all, all); }
  /// How inputs and output are stored: both the same, or one of them f32.
  Shape dtype(metallic_dtype in, metallic_dtype out) const {
    return with([=](metallic_problem& p) {
      p.dtype = in;
      p.out_dtype = out;
    });
  }
  operator metallic_problem() const noexcept { return problem_; }

 protected:
  explicit ShapeOf(metallic_op op) {
    problem_.struct_size = sizeof(problem_);
    problem_.op = op;
  }
  template <typename Change>
  Shape with(Change change) const {
    Shape changed = static_cast<const Shape&>(*this);
    change(changed.problem_);
    return changed;
  }
  metallic_problem problem_{};
};

/// The shape of a softmax. Strides are in elements; 0 means contiguous.
class Softmax : public ShapeOf<Softmax> {
 public:
  Softmax(int64_t batch, int64_t seq_q, int64_t seq_k) : ShapeOf(METALLIC_SOFTMAX) {
    problem_.batch = batch;
    problem_.seq_q = seq_q;
    problem_.seq_k = seq_k;
  }
  /// Query i sees the keys j ≤ i + offset. Without an offset, the last query sees all keys.
  Softmax causal() const { return causal(problem_.seq_k - problem_.seq_q); }
  Softmax causal(int64_t offset) const {
    return with([=](metallic_problem& p) {
      p.causal = 1;
      p.offset = offset;
    });
  }
  /// softmax(factor·in), factor > 0.
  Softmax scale(float factor) const {
    return with([=](metallic_problem& p) {
      p.scale = factor;
      p.given |= METALLIC_GIVEN_SCALE;
    });
  }
  Softmax strides(int64_t in, int64_t out) const {
    return with([=](metallic_problem& p) {
      p.in_stride = in;
      p.out_stride = out;
    });
  }
};

/// The shape of C[m,n] = alpha·op(A)[m,k]·op(B)[k,n] + beta·C. Strides are in elements; 0 means contiguous.
class Matmul : public ShapeOf<Matmul> {
 public:
  Matmul(int64_t m, int64_t k, int64_t n) : ShapeOf(METALLIC_MATMUL) {
    problem_.m = m;
    problem_.k = k;
    problem_.n = n;
  }
  /// A is stored [k,m].
  Matmul transpose_a() const {
    return with([](metallic_problem& p) { p.transpose_a = 1; });
  }
  /// B is stored [n,k].
  Matmul transpose_b() const {
    return with([](metallic_problem& p) { p.transpose_b = 1; });
  }
  /// B is the data of PackedWeights, whatever its layout was before packing.
  Matmul packed() const {
    return with([](metallic_problem& p) { p.packed = 1; });
  }
  Matmul scale(float alpha, float beta) const {
    return with([=](metallic_problem& p) {
      p.alpha = alpha;
      p.beta = beta;
      p.given |= METALLIC_GIVEN_ALPHA;
    });
  }
  Matmul batch(int64_t count) const {
    return with([=](metallic_problem& p) { p.batch = count; });
  }
  Matmul row_strides(int64_t lda, int64_t ldb, int64_t ldc) const {
    return with([=](metallic_problem& p) {
      p.lda = lda;
      p.ldb = ldb;
      p.ldc = ldc;
    });
  }
  Matmul batch_strides(int64_t a, int64_t b, int64_t c) const {
    return with([=](metallic_problem& p) {
      p.batch_stride_a = a;
      p.batch_stride_b = b;
      p.batch_stride_c = c;
    });
  }
};

/// The shape of scaled dot-product attention over Q [batch, heads, seq_q, head_dim] and K, V [batch, kv_heads, seq_k, head_dim].
/// Strides are in elements; 0 means contiguous.
class Sdpa : public ShapeOf<Sdpa> {
 public:
  Sdpa(int64_t batch, int64_t heads, int64_t kv_heads, int64_t seq_q, int64_t seq_k, int64_t head_dim) : ShapeOf(METALLIC_SDPA) {
    problem_.batch = batch;
    problem_.heads = heads;
    problem_.kv_heads = kv_heads;
    problem_.seq_q = seq_q;
    problem_.seq_k = seq_k;
    problem_.head_dim = head_dim;
  }
  /// Query i sees the keys j ≤ i + offset. Without an offset, the last query sees all keys.
  Sdpa causal() const { return causal(problem_.seq_k - problem_.seq_q); }
  Sdpa causal(int64_t offset) const {
    return with([=](metallic_problem& p) {
      p.causal = 1;
      p.offset = offset;
    });
  }
  /// The factor of the scores, > 0; 1/√head_dim by default.
  Sdpa scale(float factor) const {
    return with([=](metallic_problem& p) {
      p.scale = factor;
      p.given |= METALLIC_GIVEN_SCALE;
    });
  }
  Sdpa strides(metallic_strides q, metallic_strides k, metallic_strides v, metallic_strides out) const {
    return with([=](metallic_problem& p) {
      p.q_strides = q;
      p.k_strides = k;
      p.v_strides = v;
      p.out_strides = out;
    });
  }
};

inline Softmax softmax(int64_t rows, int64_t seq_k) { return Softmax(0, rows, seq_k); }
inline Softmax softmax(int64_t batch, int64_t seq_q, int64_t seq_k) { return Softmax(batch, seq_q, seq_k); }
inline Matmul matmul(int64_t m, int64_t k, int64_t n) { return Matmul(m, k, n); }
inline Sdpa sdpa(int64_t batch, int64_t heads, int64_t kv_heads, int64_t seq_q, int64_t seq_k, int64_t head_dim) {
  return Sdpa(batch, heads, kv_heads, seq_q, seq_k, head_dim);
}

/// The problem of a label, e.g. "rows64_seqk512" or "4096x4096x8_tb".
inline metallic_problem problem(const std::string& label) {
  metallic_problem filled{};
  filled.struct_size = sizeof(filled);
  check(metallic_problem_from_label(label.c_str(), &filled));
  return filled;
}

/// Scratch memory with the alignment that runs need. Each thread that runs a plan needs its own.
class Workspace {
 public:
  explicit Workspace(size_t bytes) : bytes_(bytes), data_(bytes > 0 ? ::operator new(bytes, kAlignment) : nullptr, Free{true}) {}
  /// Wraps the caller's memory, which must outlive this object; for plans on a GPU, it is GPU memory.
  Workspace(void* memory, size_t bytes) : bytes_(bytes), data_(memory, Free{false}) {}
  void* data() const noexcept { return data_.get(); }
  size_t bytes() const noexcept { return bytes_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    bool own;
    void operator()(void* data) const noexcept {
      if (own) ::operator delete(data, kAlignment);
    }
  };
  size_t bytes_;
  std::unique_ptr<void, Free> data_;
};

/// A problem and the kernel chosen for it, created or acquired. All runs are safe from several threads.
class Plan {
 public:
  size_t workspace_bytes() const {
    size_t bytes = 0;
    check(metallic_plan_workspace(plan_.get(), &bytes));
    return bytes;
  }
  Workspace workspace() const { return Workspace(workspace_bytes()); }

  /// softmax. Pointers are to elements of the problem's types; out may be in. Scratch memory is the library's, one for each
  /// thread, or on a GPU for each stream; only a run that needs more than all before it allocates.
  void run(const void* in, void* out) const { run_tensors(in, nullptr, nullptr, out, nullptr, 0); }
  /// matmul
  void run(const void* a, const void* b, void* c) const { run_tensors(a, b, nullptr, c, nullptr, 0); }
  /// sdpa
  void run(const void* q, const void* k, const void* v, void* out) const { run_tensors(q, k, v, out, nullptr, 0); }

  /// The same with the caller's workspace, which may be larger than needed. Allocates nothing. Threads that run at the same time
  /// each need their own.
  void run(const void* in, void* out, const Workspace& workspace) const {
    run_tensors(in, nullptr, nullptr, out, workspace.data(), workspace.bytes());
  }
  void run(const void* a, const void* b, void* c, const Workspace& workspace) const {
    run_tensors(a, b, nullptr, c, workspace.data(), workspace.bytes());
  }
  void run(const void* q, const void* k, const void* v, void* out, const Workspace& workspace) const {
    run_tensors(q, k, v, out, workspace.data(), workspace.bytes());
  }

  /// The variant and tuning that run, e.g. "cpu_vec@unroll=4"; valid as long as the plan.
  std::string_view candidate() const {
    const char* text = nullptr;
    check(metallic_plan_candidate(plan_.get(), &text));
    return text;
  }

  /// The decision as JSON; valid as long as the plan.
  std::string_view explain() const {
    const char* json = nullptr;
    check(metallic_plan_explain(plan_.get(), &json));
    return json;
  }

  metallic_plan* get() const noexcept { return plan_.get(); }

 private:
  friend class Context;
  struct Release {
    void operator()(metallic_plan* plan) const noexcept { metallic_plan_release(plan); }
  };
  explicit Plan(metallic_plan* plan) : plan_(plan) {}
  void run_tensors(const void* a, const void* b, const void* c, void* out, void* workspace, size_t bytes) const {
    const metallic_tensors tensors = {sizeof(metallic_tensors), a, b, c, out};
    check(metallic_plan_run(plan_.get(), &tensors, workspace, bytes));
  }
  std::unique_ptr<metallic_plan, Release> plan_;
};

/// A plan that takes the operands of its operation and no others.
class SoftmaxPlan : public Plan {
 public:
  void run(const void* in, void* out) const { Plan::run(in, out); }
  void run(const void* in, void* out, const Workspace& workspace) const { Plan::run(in, out, workspace); }

 private:
  friend class Context;
  explicit SoftmaxPlan(Plan plan) : Plan(std::move(plan)) {}
};
class MatmulPlan : public Plan {
 public:
  void run(const void* a, const void* b, void* c) const { Plan::run(a, b, c); }
  void run(const void* a, const void* b, void* c, const Workspace& workspace) const { Plan::run(a, b, c, workspace); }

 private:
  friend class Context;
  explicit MatmulPlan(Plan plan) : Plan(std::move(plan)) {}
};
class SdpaPlan : public Plan {
 public:
  void run(const void* q, const void* k, const void* v, void* out) const { Plan::run(q, k, v, out); }
  void run(const void* q, const void* k, const void* v, void* out, const Workspace& workspace) const {
    Plan::run(q, k, v, out, workspace);
  }

 private:
  friend class Context;
  explicit SdpaPlan(Plan plan) : Plan(std::move(plan)) {}
};

/// Runs tasks in place of the library's threads.
class Executor {
 public:
  using Task = void (*)(void* context, size_t index);
  virtual ~Executor() = default;
  /// The number of tasks that can run at once; constant.
  virtual int threads() const = 0;
  /// Calls task(context, i) once for each i in [0, count), on any threads, and returns when all calls have returned.
  virtual void parallel(size_t count, Task task, void* context) = 0;
};

struct Options {
  std::string model;       ///< the model whose tuned profile to use; empty: the profile applied last
  std::string profile;     ///< the caller's profile file, or empty
  std::string device;      ///< "cuda:0" for a GPU, which launches runs on a stream; empty: the CPU
  void* stream = nullptr;  ///< for a GPU: must outlive the context and its plans; null: the library's own
  int threads = 0;         ///< 0: METALLIC_NUM_THREADS, else one per core, within the CPU quota
  metallic_numerics numerics = METALLIC_NUMERICS_DEFAULT;
  Executor* executor = nullptr;  ///< must outlive the context and its plans
  /// Receives messages, by level and text; unset: they go to stderr. Called from any thread.
  std::function<void(std::string_view level, std::string_view message)> log;
};

/// Environment, device and profiles, read once.
class Context {
 public:
  explicit Context(const Options& options = {}) : log_(std::make_unique<Log>(options.log)) {
    metallic_context_options given{};
    given.struct_size = sizeof(given);
    given.model = options.model.empty() ? nullptr : options.model.c_str();
    given.profile = options.profile.empty() ? nullptr : options.profile.c_str();
    given.device = options.device.empty() ? nullptr : options.device.c_str();
    given.stream = options.stream;
    given.threads = options.threads;
    given.numerics = options.numerics;
    metallic_executor executor{};
    if (options.executor) {
      executor.struct_size = sizeof(executor);
      executor.user = options.executor;
      executor.threads = options.executor->threads();
      executor.parallel = [](void* user, size_t count, Executor::Task task, void* context) {
        static_cast<Executor*>(user)->parallel(count, task, context);
      };
      given.executor = &executor;
    }
    if (*log_) {
      given.log = [](void* user, const char* level, const char* message) { (*static_cast<Log*>(user))(level, message); };
      given.log_user = log_.get();
    }
    metallic_context* made = nullptr;
    check(metallic_context_create(&given, &made));
    context_.reset(made);
  }
  Context(Context&&) = default;
  Context& operator=(Context&& other) noexcept {
    context_ = std::move(other.context_);  // first: its end may still log
    log_ = std::move(other.log_);
    return *this;
  }

  /// Chooses and prepares a kernel. Safe from several threads. The plan may outlive the context.
  Plan plan(const metallic_problem& problem) const { return make(metallic_plan_create, problem); }
  SoftmaxPlan plan(const Softmax& shape) const { return SoftmaxPlan(make(metallic_plan_create, shape)); }
  MatmulPlan plan(const Matmul& shape) const { return MatmulPlan(make(metallic_plan_create, shape)); }
  SdpaPlan plan(const Sdpa& shape) const { return SdpaPlan(make(metallic_plan_create, shape)); }

  /// The context's own plan, made at its first use and found again in some tens of nanoseconds. Return it, by ending its life,
  /// before the context ends.
  Plan acquire(const metallic_problem& problem) const { return make(metallic_plan_acquire, problem); }
  SoftmaxPlan acquire(const Softmax& shape) const { return SoftmaxPlan(make(metallic_plan_acquire, shape)); }
  MatmulPlan acquire(const Matmul& shape) const { return MatmulPlan(make(metallic_plan_acquire, shape)); }
  SdpaPlan acquire(const Sdpa& shape) const { return SdpaPlan(make(metallic_plan_acquire, shape)); }

  /// Waits for everything that was launched on the context's own stream.
  void synchronize() const { check(metallic_context_synchronize(context_.get())); }

  metallic_context* get() const noexcept { return context_.get(); }

 private:
  using Make = metallic_status (*)(metallic_context*, const metallic_problem*, metallic_plan**);
  Plan make(Make call, const metallic_problem& problem) const {
    metallic_plan* made = nullptr;
    check(call(context_.get(), &problem, &made));
    return Plan(made);
  }
  using Log = std::function<void(std::string_view, std::string_view)>;
  struct Destroy {
    void operator()(metallic_context* context) const noexcept { metallic_context_destroy(context); }
  };
  std::unique_ptr<Log> log_;  // on the heap, so that a move keeps its address; outlives the context
  std::unique_ptr<metallic_context, Destroy> context_;
};

/// The B of a matmul in the order in which kernels read it: packed once for all runs of plans whose shape is `packed()`.
class PackedWeights {
 public:
  /// `problem` describes how b is stored; its m is ignored. b is not needed afterwards.
  PackedWeights(const Context& context, const metallic_problem& problem, const void* b) : memory_(bytes_of(problem)) {
    check(metallic_pack(context.get(), &problem, b, memory_.data()));
  }
  const void* data() const noexcept { return memory_.data(); }
  size_t bytes() const noexcept { return memory_.bytes(); }

 private:
  static size_t bytes_of(const metallic_problem& problem) {
    size_t bytes = 0;
    check(metallic_packed_bytes(&problem, &bytes));
    return bytes;
  }
  Workspace memory_;
};

}  // namespace metallic::api

#ifndef METALLIC_IN_TREE  // set by tests that include internal headers too, which have classes of the same names
namespace metallic {
using namespace api;
}  // namespace metallic
#endif

namespace mtl = metallic::api;  // its name before 0.5

#endif
