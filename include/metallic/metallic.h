/* SPDX-License-Identifier: Apache-2.0 */
/* Metallic's C interface: create a context and plans for problems, run the plans, and read why each kernel was chosen.
 *
 * Every struct except metallic_strides begins with struct_size. The caller sets it to the sizeof of the struct it was compiled
 * with; members that a newer header adds are 0 for older callers. Every call returns a metallic_status; metallic_last_error()
 * returns one line that says what was wrong, per thread. Nothing throws. Several threads may use a handle at once, except to
 * destroy it.
 *
 * Floating-point state: calls round to nearest, keep denormals and trap nothing, whatever the calling thread and the threads of
 * an executor have set. Afterwards each thread has its state and its sticky flags as before: a call raises no floating-point
 * exception.
 *
 * fork: a child may use and destroy the handles of its parent, whatever the parent's threads did at the fork. Its first run of
 * several tasks starts threads of its own, which allocates, or uses the calling thread alone if it gets none. A plan whose kernel
 * is a library's (OpenBLAS, BLIS, oneDNN) does what that library does after a fork; CUDA allows no use of a GPU in a child.
 *
 * AMX: the first plan whose kernel uses it asks Linux for its registers, for the whole process. From then on an alternate signal
 * stack must have AT_MINSIGSTKSZ bytes. If Linux says no, another kernel runs.
 */
#ifndef METALLIC_METALLIC_H
#define METALLIC_METALLIC_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define METALLIC_API __attribute__((visibility("default")))
#else
#define METALLIC_API
#endif

/* The version of this header. A library with the same MAJOR and an equal or larger MINOR has everything that it declares. */
#define METALLIC_VERSION_MAJOR 0
#define METALLIC_VERSION_MINOR 5
#define METALLIC_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the running library, e.g. "0.1.0"; static storage. */
METALLIC_API const char* metallic_version(void);

typedef enum metallic_status {
  METALLIC_OK = 0,
  METALLIC_INVALID_ARGUMENT = 1, /* an argument or an environment variable is wrong */
  METALLIC_NOT_FOUND = 2,
  METALLIC_UNSUPPORTED = 3,
  METALLIC_OUT_OF_MEMORY = 4,
  METALLIC_IO = 5,
  METALLIC_INTERNAL = 6
} metallic_status;

/* The code's name, e.g. "invalid_argument"; static storage. */
METALLIC_API const char* metallic_status_name(metallic_status status);

/* Why the last failed call of this thread failed, in one line; "" if none has failed. Valid until its next call. */
METALLIC_API const char* metallic_last_error(void);

/* Runs the tasks of plans. parallel calls task(context, i) once for each i in [0, count), on any threads, and returns when all
 * calls have returned. Threads that run plans at the same time call it at the same time. */
typedef struct metallic_executor {
  size_t struct_size;
  void* user;  /* passed to parallel; must outlive the context and its plans */
  int threads; /* number of tasks that can run at once, 1 to 1024; plans are made for it */
  void (*parallel)(void* user, size_t count, void (*task)(void* context, size_t index), void* context);
} metallic_executor;

typedef struct metallic_context metallic_context;

/* What a result may depend on besides its input. */
typedef enum metallic_numerics {
  METALLIC_NUMERICS_DEFAULT = 0, /* the variable METALLIC_DETERMINISM, else METALLIC_FAST */
  METALLIC_FAST = 1,             /* whatever is fastest */
  METALLIC_RUN_TO_RUN = 2,       /* the same bits for the same plan and input */
  METALLIC_BATCH_INVARIANT = 3   /* the same bits for a row, independent of rows, batch, n and threads */
} metallic_numerics;

typedef struct metallic_context_options {
  size_t struct_size;
  const char* model;   /* the model whose tuned profile to use, or NULL: the profile applied last */
  const char* profile; /* the caller's profile file, preferred to the tuned one, or NULL; an invalid file costs a warning */
  int threads;         /* 1 to 1024, or 0: METALLIC_NUM_THREADS, else as below; an executor has its own number */
  metallic_numerics numerics;
  const metallic_executor* executor;                               /* or NULL: the library's thread pool; copied */
  void (*log)(void* user, const char* level, const char* message); /* or NULL: stderr; called from any thread */
  void* log_user;
  /* Since 0.3. The device id, as `metallic devices` prints it: "cpu" or NULL, or "cuda:0" for a GPU, which takes no executor.
   * Operands and workspaces are then in GPU memory. Runs are launched on a stream and return before they finish. */
  const char* device;
  void* stream; /* for a GPU: a cudaStream_t that outlives the context and its plans, or NULL: the library's own */
} metallic_context_options;

/* Reads environment, device and profiles once. By default there is a thread for each core that the process may use, but no more
 * than its CPU quota (cgroup) keeps busy. If the system refuses threads, plans use fewer, and a warning says so. options may be
 * NULL. On an error, *context is NULL. METALLIC_INVALID_ARGUMENT: an option or environment variable is invalid. METALLIC_IO: a
 * file named by METALLIC_TRACE or METALLIC_RECORD is unusable. */
METALLIC_API metallic_status metallic_context_create(const metallic_context_options* options, metallic_context** context);
/* Plans keep what they need of their context, including its threads, and may be destroyed after it. NULL is allowed. The output
 * of METALLIC_GPU_PROFILER, METALLIC_TRACE and METALLIC_RECORD is written when the context and all its plans are destroyed. */
METALLIC_API void metallic_context_destroy(metallic_context* context);

typedef enum metallic_op { METALLIC_SOFTMAX = 0, METALLIC_MATMUL = 1, METALLIC_SDPA = 2 } metallic_op;

/* How elements are stored; arithmetic is done in f32. As dtype, 0 is f32; as out_dtype, 0 is the same as dtype. */
typedef enum metallic_dtype { METALLIC_DTYPE_DEFAULT = 0, METALLIC_F32 = 1, METALLIC_F16 = 2, METALLIC_BF16 = 3 } metallic_dtype;

/* Strides of a tensor [batch, heads, rows, head_dim], in elements. 0 is the contiguous stride, which includes the padding of the
 * inner dimensions. head_dim is always contiguous. A cache [batch, capacity, heads, head_dim] has batch = capacity * heads *
 * head_dim, head = head_dim, row = heads * head_dim; capacity may exceed seq_k. */
typedef struct metallic_strides {
  int64_t batch, head, row;
} metallic_strides;

/* Members of a problem whose 0 means 0 rather than the default. Values other than 0 always count. */
enum {
  METALLIC_GIVEN_ALPHA = 1,  /* alpha = 0 computes no product */
  METALLIC_GIVEN_SCALE = 2,  /* scale = 0, which no operation accepts: for callers whose scale is computed */
  METALLIC_GIVEN_STRIDES = 4 /* all strides are as given; a batch stride of 0 shares one matrix among the batch */
};

/* One operation on tensors of known shape. Tensors are row-major, strides are in elements, and a stride of 0 means contiguous.
 * All members but the sizes may be 0: a plain product has alpha = 1 and beta = 0 then.
 *
 * softmax  out[b,q,:] = softmax(scale * in[b,q,:]) over seq_k keys; with causal, key j is visible to query i iff
 *          j <= i + offset (offset is seq_k - seq_q for a cache of earlier keys).
 * matmul   C[m,n] = alpha * op(A)[m,k] * op(B)[k,n] + beta * C; A is stored [k,m] with transpose_a, B [n,k] with
 *          transpose_b. beta = 0 writes C without reading it.
 * sdpa     out[b,h] = softmax(scale * Q[b,h] * K[b,g]^T) * V[b,g] with g = h / (heads / kv_heads); Q and out are
 *          [batch, heads, seq_q, head_dim], K and V [batch, kv_heads, seq_k, head_dim]; causal as in softmax. A query
 *          that sees no key gets zeros. Keys that no query sees are not read. A NaN or infinity in V at a key that only some
 *          queries see may propagate to the others. */
typedef struct metallic_problem {
  size_t struct_size;
  metallic_op op;
  metallic_dtype dtype;     /* of the inputs */
  metallic_dtype out_dtype; /* of the output: equal to dtype, or one of the two is f32 */
  int64_t batch;            /* 0 counts as 1 */
  /* softmax and sdpa */
  float scale; /* 0: 1 in a softmax, 1 / sqrt(head_dim) in an sdpa */
  int64_t seq_q, seq_k;
  int causal;
  int64_t offset;
  /* softmax */
  int64_t in_stride, out_stride; /* from one row to the next */
  /* matmul */
  int64_t m, k, n;
  int transpose_a, transpose_b;
  float alpha, beta;                                      /* alpha 0: 1 */
  int64_t lda, ldb, ldc;                                  /* from one stored row to the next */
  int64_t batch_stride_a, batch_stride_b, batch_stride_c; /* from one matrix to the next */
  /* sdpa */
  int64_t heads, kv_heads, head_dim; /* kv_heads 0: as many as heads */
  metallic_strides q_strides, k_strides, v_strides, out_strides;
  /* matmul, since 0.2: B is the output of metallic_pack; transpose_b, ldb and batch_stride_b are ignored, batch is 1 */
  int packed;
  uint64_t given; /* since 0.5: a sum of METALLIC_GIVEN_…; not where older headers have padding */
} metallic_problem;

/* Fills a problem with the shape of a label, e.g. "rows64_seqk512", "batch1_seqq64_seqk512_causal", "4096x4096x8_tb",
 * "batch1_h32kv8_seqq1_seqk4096_d128_causal". Overwrites everything except struct_size, which must be set before; set types and
 * strides afterwards. METALLIC_INVALID_ARGUMENT: not a label; the error names the column. */
METALLIC_API metallic_status metallic_problem_from_label(const char* label, metallic_problem* problem);

/* Constant weights may be packed once for all runs, in the order in which kernels read them; no run then packs them again. A
 * product of 32 rows or more then takes 0.55 to 0.85 of the time, one of fewer rows 0.85 to 1.2 of it. The order depends only on
 * the type, not on the machine or the other sizes. Its name changes if the order ever does: store the name with packed weights in
 * a file. */

/* The name of the order, e.g. "panels32.f32"; static storage. NULL if dtype is invalid. */
METALLIC_API const char* metallic_packed_layout(metallic_dtype dtype);

/* Bytes of packed weights; depends on k, n and dtype of a matmul. METALLIC_INVALID_ARGUMENT: not a matmul, already packed, or a
 * batch other than 1. */
METALLIC_API metallic_status metallic_packed_bytes(const metallic_problem* problem, size_t* bytes);

/* Packs b, the B of a matmul as the problem describes it, on the context's threads; ignores m and the members for A and C. For
 * plans, set the problem's `packed` afterwards. `packed` has metallic_packed_bytes bytes, best aligned to 64. Its padding is
 * written too, and runs rely on it. */
METALLIC_API metallic_status metallic_pack(metallic_context* context, const metallic_problem* problem, const void* b,
                                           void* packed);

typedef struct metallic_plan metallic_plan;

/* Chooses the kernel and prepares it. May allocate and take locks. *plan is NULL unless the status is METALLIC_OK:
 * METALLIC_INVALID_ARGUMENT  a member of the problem is invalid
 * METALLIC_OUT_OF_MEMORY     operands need more bytes than the address space has
 * METALLIC_UNSUPPORTED       no kernel computes this problem */
METALLIC_API metallic_status metallic_plan_create(metallic_context* context, const metallic_problem* problem,
                                                  metallic_plan** plan);
/* NULL is allowed. No run may be in progress. A plan that was acquired is released. */
METALLIC_API void metallic_plan_destroy(metallic_plan* plan);

/* Since 0.5. The context's own plan for a problem, made at its first use and found again in some tens of nanoseconds, without a
 * lock or an allocation. Any number of callers and threads may hold it; each releases it once, before the context is destroyed.
 * The context keeps about a thousand plans and replaces those that are not held. Errors: those of metallic_plan_create. */
METALLIC_API metallic_status metallic_plan_acquire(metallic_context* context, const metallic_problem* problem,
                                                   metallic_plan** plan);
/* NULL is allowed. No run of this holder may be in progress. A plan that was created is destroyed. */
METALLIC_API void metallic_plan_release(metallic_plan* plan);

/* Since 0.5. What a plan runs, e.g. "cpu_gemv@rows=4;unroll=2": variant and tuning, as METALLIC_MATMUL_VARIANT and
 * metallic_plan_options take it. Owned by the plan. */
METALLIC_API metallic_status metallic_plan_candidate(const metallic_plan* plan, const char** candidate);

typedef struct metallic_plan_options {
  size_t struct_size;
  /* The variant to run, with or without "@tuning", unless the environment forces another; or NULL. If it cannot run the problem,
   * the plan falls back to the next best and the log says why. */
  const char* candidate;
  metallic_numerics numerics;
} metallic_plan_options;

/* Since 0.5. metallic_plan_create with options for this plan. */
METALLIC_API metallic_status metallic_plan_create_with(metallic_context* context, const metallic_problem* problem,
                                                       const metallic_plan_options* options, metallic_plan** plan);

/* One way to run a problem. Texts are valid during the call that passes them. */
typedef struct metallic_candidate {
  size_t struct_size;
  const char* candidate; /* variant and tuning, as metallic_plan_candidate returns it */
  const char* rejected;  /* why the problem does not run this way; NULL for the chosen candidate */
  int possible;          /* whether it could be forced */
} metallic_candidate;

/* Since 0.5. Calls each(user, candidate) for every candidate of a problem, the chosen one included. */
METALLIC_API metallic_status metallic_candidates(metallic_context* context, const metallic_problem* problem,
                                                 void (*each)(void* user, const metallic_candidate* candidate), void* user);

/* Exact bytes of scratch memory that a run needs; the memory must be aligned to 64. */
METALLIC_API metallic_status metallic_plan_workspace(const metallic_plan* plan, size_t* bytes);

/* Operands of a run, aligned like their elements. softmax: a is the input and out the output; they may be the same if types and
 * strides are equal. matmul: a is A, b is B, out is C. sdpa: a, b and c are Q, K and V. Operands that the operation lacks, or
 * that have no elements, are ignored. */
typedef struct metallic_tensors {
  size_t struct_size;
  const void* a;
  const void* b;
  const void* c;
  void* out;
} metallic_tensors;

/* Computes the problem. Allocates nothing. Takes no lock, except those of the thread pool if no executor was injected. May run on
 * several threads with different workspaces. workspace_bytes may exceed what is needed; prior contents of the workspace do not
 * matter. On a GPU, launches on the context's stream, which may be captured in a graph. METALLIC_INVALID_ARGUMENT: a needed
 * operand is NULL, the workspace is too small or unaligned, or out is an input and the run cannot be in place.
 *
 * Since 0.5, workspace may be NULL with workspace_bytes = 0: the library's own is used, one for each calling thread, or on a GPU
 * for each stream. Only a run that needs more than all before it allocates. A run that is captured in a graph needs the caller's,
 * which lives as long as the graph: METALLIC_UNSUPPORTED otherwise. */
METALLIC_API metallic_status metallic_plan_run(const metallic_plan* plan, const metallic_tensors* tensors, void* workspace,
                                               size_t workspace_bytes);

typedef struct metallic_run_options {
  size_t struct_size;
  void* workspace;
  size_t workspace_bytes;
  void* stream;                      /* of the context's GPU, a cudaStream_t; or NULL: the context's */
  const metallic_executor* executor; /* or NULL: the context's. Its number of threads may differ from the plan's */
} metallic_run_options;

/* Since 0.5. metallic_plan_run somewhere else: on another stream of the same GPU, or another executor. options may be NULL. */
METALLIC_API metallic_status metallic_plan_run_with(const metallic_plan* plan, const metallic_tensors* tensors,
                                                    const metallic_run_options* options);

/* Waits for everything that the context launched on its own stream; returns at once on a CPU. METALLIC_INTERNAL: a run failed
 * there. */
METALLIC_API metallic_status metallic_context_synchronize(metallic_context* context);

/* The decision as JSON, as `metallic explain --json` prints it; owned by the plan, which makes it at the first call. */
METALLIC_API metallic_status metallic_plan_explain(const metallic_plan* plan, const char** json);

#ifdef __cplusplus
}
#endif

#endif
