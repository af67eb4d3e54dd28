#include "tuner/verify/cases.h"

#include <array>
#include <initializer_list>
#include <optional>

namespace metallic::validation {
namespace {

// Around the vector lengths of every ISA (4, 8, 16 floats; 8, 16, 32 halves) and their multiples.
constexpr int64_t kEdges[] = {0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 255, 257};
constexpr int64_t kFewEdges[] = {0, 1, 7, 16, 33, 65, 129};

class Builder {
 public:
  Builder(DType dtype, DType out_dtype) : dtype_(dtype), out_dtype_(out_dtype) {}

  void add(Problem problem, int threads, Values values = Values::random, bool in_place = false) {
    problem.dtype = dtype_;
    problem.out_dtype = out_dtype_;
    problem.threads = threads;
    cases_.push_back({problem, values, in_place});
  }
  bool can_run_in_place() const { return dtype_ == out_dtype_; }
  std::vector<Case> take() { return std::move(cases_); }

 private:
  DType dtype_, out_dtype_;
  std::vector<Case> cases_;
};

Problem causal_softmax(int64_t batch, int64_t seq_q, int64_t seq_k, int64_t offset) {
  Problem problem = softmax_problem(batch, seq_q, seq_k);
  make_causal(std::get<SoftmaxShape>(problem.shape), offset);
  return problem;
}

template <typename Change>
Problem changed_softmax(Problem problem, const Change& change) {
  change(std::get<SoftmaxShape>(problem.shape));
  return problem;
}

void softmax_cases(Builder& to, Depth depth) {
  const bool full = depth == Depth::full;
  for (const int64_t rows : {0, 1, 2, 5})
    for (const int64_t seq_k : kEdges)
      if (full || rows == 2) to.add(softmax_problem(rows, seq_k), full ? 3 : 1);
  for (const int64_t seq_k : {1023, 1024, 1025, 4095, 4097, 20000})
    if (full || seq_k == 1025 || seq_k == 20000) to.add(softmax_problem(7, seq_k), 3);
  // One long row, shared among threads.
  for (const int threads : {1, 2, 4})
    if (full || threads == 4) {
      to.add(softmax_problem(1, 40001), threads, Values::wide);
      if (full) to.add(softmax_problem(3, 17000), threads);
    }
  for (const Values values : {Values::wide, Values::denormal, Values::overflowing, Values::some_minus_infinity,
                              Values::all_minus_infinity, Values::infinity, Values::nan, Values::equal})
    for (const int64_t seq_k : {1, 3, 16, 65, 1500, 9000})
      if (full || seq_k == 65 || seq_k == 9000) to.add(softmax_problem(4, seq_k), 2, values);
  for (const int64_t seq_k : {1, 17, 64, 5000})
    for (const int64_t offset : {int64_t{-40}, int64_t{-1}, int64_t{0}, seq_k - 33, seq_k, int64_t{1} << 48})
      if (full || seq_k == 64) to.add(causal_softmax(2, 33, seq_k, offset), 2);
  for (const int64_t seq_k : {1, 15, 64, 4100})
    if (full || seq_k == 15)
      to.add(
          changed_softmax(softmax_problem(5, seq_k), [&](SoftmaxShape& s) { s.in_stride = seq_k + 3, s.out_stride = seq_k + 5; }),
          2);
  for (const float scale : {0.125f, 3.0f})
    for (const int64_t seq_k : {5, 64, 5000})
      for (const Values values :
           {Values::random, Values::wide, Values::far, Values::some_minus_infinity, Values::all_minus_infinity})
        if (full || seq_k == 64)
          to.add(changed_softmax(softmax_problem(3, seq_k), [&](SoftmaxShape& s) { s.scale = scale; }), 2, values);
  if (to.can_run_in_place())
    for (const int64_t seq_k : {1, 33, 5001}) {
      to.add(softmax_problem(3, seq_k), 2, Values::random, /*in_place=*/true);
      if (full) to.add(causal_softmax(2, 7, seq_k, 3), 2, Values::random, /*in_place=*/true);
    }
  // Rows that are 2³⁰ elements apart: offsets beyond 32 bits in elements and bytes, on memory that is never backed.
  // So large an output is written past the caches, whole rows and rows of which a mask hides more or less.
  const auto far_apart = [](SoftmaxShape& s) { s.in_stride = int64_t{1} << 30, s.out_stride = (int64_t{1} << 30) + 1; };
  if (full) to.add(changed_softmax(softmax_problem(5, 129), far_apart), 2);
  if (full)
    for (const int64_t offset : {-2, 3, 200}) to.add(changed_softmax(causal_softmax(1, 9, 203, offset), far_apart), 2);
}

template <typename Change>
Problem changed_matmul(Problem problem, const Change& change) {
  change(std::get<MatmulShape>(problem.shape));
  return problem;
}

void packed_matmul_cases(Builder& to, Depth depth) {
  const bool full = depth == Depth::full;
  const auto packed = [](int64_t m, int64_t k, int64_t n, bool ta = false) {
    return changed_matmul(matmul_problem(m, k, n, ta), make_packed);
  };
  for (const bool ta : {false, true})
    for (const int64_t m : {0, 1, 2, 5, 14, 16, 17, 33, 70})
      for (const int64_t n : {0, 1, 15, 16, 31, 32, 33, 65, 100})
        for (const int64_t k : {0, 1, 2, 3, 17, 31, 33, 64})
          if (full || ((m == 5 || m == 33) && (n == 33 || n == 100) && (k == 3 || k == 33))) to.add(packed(m, k, n, ta), 2);
  // Over several blocks of K, columns and rows.
  for (const auto& [m, k, n] : {std::array{1, 2100, 70}, {40, 1031, 130}, {300, 1025, 90}})
    if (full || m == 40) to.add(packed(m, k, n), 3);
  for (const auto& [alpha, beta] : {std::array{2.0f, 0.0f}, {-0.5f, 1.0f}, {0.0f, 1.5f}})
    for (const int64_t k : {0, 1, 70})
      to.add(changed_matmul(packed(37, k, 45), [&](MatmulShape& s) { s.alpha = alpha, s.beta = beta, s.lda += 3, s.ldc += 5; }),
             3);
  for (const Values values : {Values::integers, Values::wide, Values::denormal, Values::nan, Values::infinity}) {
    to.add(packed(16, 1000, 40), 2, values);
    if (full) to.add(packed(70, 1000, 90), 2, values);
  }
}

void matmul_cases(Builder& to, Depth depth) {
  const bool full = depth == Depth::full;
  packed_matmul_cases(to, depth);
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      for (const int64_t small : {0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17})
        for (const int64_t big : {1, 15, 16, 33, 65})
          for (const int64_t k : {0, 1, 3, 17, 64}) {
            const bool chosen = (small == 3 || small == 16) && (big == 33 || big == 65) && (k == 1 || k == 17);
            if (!full && !chosen) continue;
            to.add(matmul_problem(big, k, small, ta, tb), 2);
            to.add(matmul_problem(small, k, big, ta, tb), 2);
          }
      for (const auto& [m, k, n] :
           {std::array{129, 300, 127}, {64, 513, 33}, {31, 257, 300}, {1, 1000, 2}, {300, 2, 1}, {5, 4099, 3}})
        if (full || m == 64 || m == 5) to.add(matmul_problem(m, k, n, ta, tb), 2);
      for (const auto& [m, k, n] : {std::array{33, 47, 4}, {3, 47, 50}, {70, 33, 40}})
        for (const bool shared : {false, true})  // one B for all matrices
          if (full || (m == 70) == shared)
            to.add(changed_matmul(matmul_problem(m, k, n, ta, tb, 3),
                                  [&](MatmulShape& s) {
                                    s.lda += 3;
                                    s.ldb += 5;
                                    s.ldc += 1;
                                    s.batch_stride_a = (s.ta ? s.k : s.m) * s.lda + 7;
                                    s.batch_stride_b = shared ? 0 : (s.tb ? s.n : s.k) * s.ldb;
                                    s.batch_stride_c = s.m * s.ldc + 2;
                                  }),
                   2);
    }
  for (const auto& [alpha, beta] : {std::array{2.0f, 0.0f}, {-0.5f, 1.0f}, {1.0f, 0.25f}, {0.0f, 1.5f}})
    for (const auto& [m, k, n] : {std::array{37, 70, 5}, {5, 70, 37}, {70, 0, 9}, {90, 40, 65}})
      to.add(changed_matmul(matmul_problem(m, k, n, false, m < n), [&](MatmulShape& s) { s.alpha = alpha, s.beta = beta; }), 3);
  for (const auto& [m, k, n] : {std::array{40, 1000, 16}, {16, 1000, 40}, {100, 700, 90}})
    for (const bool tb : {false, true}) {
      to.add(matmul_problem(m, k, n, false, tb), 2, Values::integers);
      if (full || !tb) {
        to.add(matmul_problem(m, k, n, false, tb), 2, Values::wide);
        to.add(matmul_problem(m, k, n, false, tb), 2, Values::denormal);
        to.add(matmul_problem(m, k, n, false, tb), 2, Values::nan);
        to.add(matmul_problem(m, k, n, false, tb), 2, Values::infinity);
      }
    }
  if (!full) return;
  // More than 2³¹ elements from end to end: rows 2³⁰ and matrices 2³³ elements apart, on memory that is never backed.
  for (const int64_t n : {3, 40})
    to.add(changed_matmul(matmul_problem(5, 70, n, false, true, 2),
                          [](MatmulShape& s) {
                            s.lda = s.ldb = s.ldc = int64_t{1} << 30;
                            s.batch_stride_a = s.batch_stride_c = int64_t{1} << 33;
                            s.batch_stride_b = 0;
                          }),
           2);
}

struct SdpaCase {
  int64_t batch, heads, kv_heads, seq_q, seq_k, head_dim;
  std::optional<int64_t> offset;  // causal where there is one
};

Problem sdpa_of(const SdpaCase& c) {
  Problem problem = sdpa_problem(c.batch, c.heads, c.kv_heads, c.seq_q, c.seq_k, c.head_dim);
  if (c.offset) make_causal(std::get<SdpaShape>(problem.shape), *c.offset);
  return problem;
}

// Engines keep a cache as [batch, longest sequence, heads, head_dim] and queries as [batch, seq_q, heads, head_dim].
Problem interleaved(Problem problem) {
  auto& s = std::get<SdpaShape>(problem.shape);
  const int64_t longest = s.seq_k + 3;
  s.q = s.out = {.batch = s.seq_q * s.heads * s.head_dim, .head = s.head_dim, .row = s.heads * s.head_dim};
  s.k = s.v = {.batch = longest * s.kv_heads * s.head_dim, .head = s.head_dim, .row = s.kv_heads * s.head_dim};
  return problem;
}

void sdpa_cases(Builder& to, Depth depth) {
  const bool full = depth == Depth::full;
  const SdpaCase kShapes[] = {
      {1, 4, 4, 1, 1, 64, {}},      {2, 4, 2, 1, 65, 64, 64},    {1, 8, 2, 5, 129, 32, 124},  {2, 2, 1, 17, 17, 16, 0},
      {1, 3, 1, 33, 40, 80, 7},     {1, 4, 2, 7, 33, 128, {}},   {1, 2, 2, 3, 300, 1, {}},    {1, 2, 1, 4, 9, 7, -2},
      {1, 2, 2, 16, 1000, 64, 984}, {1, 1, 1, 2, 5000, 8, {}},   {3, 6, 3, 1, 257, 256, 256}, {2, 4, 2, 3, 40, 16, 20},
      {1, 2, 1, 1, 33, 16, 11},     {1, 2, 1, 70, 300, 24, 230},
  };
  for (const SdpaCase& c : kShapes)
    for (const int threads : {1, 3}) {
      if (!full && threads == 1) continue;
      to.add(sdpa_of(c), threads);
      to.add(interleaved(sdpa_of(c)), threads);
    }
  if (full)
    for (const int64_t seq_q : kFewEdges)
      for (const int64_t seq_k : kFewEdges)
        for (const int64_t head_dim : {0, 1, 7, 64}) {
          to.add(sdpa_of({1, 4, 2, seq_q, seq_k, head_dim, {}}), 2);
          to.add(sdpa_of({1, 4, 2, seq_q, seq_k, head_dim, seq_k - seq_q}), 2);
        }
  for (const Values values : {Values::wide, Values::nan, Values::denormal, Values::equal}) {
    to.add(sdpa_of({1, 4, 2, 5, 129, 64, 124}), 2, values);
    if (full) to.add(sdpa_of({2, 2, 2, 33, 65, 32, {}}), 2, values);
  }
  // No heads, no batch; queries that see nothing.
  to.add(sdpa_of({0, 4, 2, 5, 9, 16, {}}), 2);
  to.add(sdpa_of({1, 0, 0, 5, 9, 16, {}}), 2);
  to.add(sdpa_of({1, 4, 2, 5, 9, 16, -100}), 2);
}

}  // namespace

std::string_view name(Values values) {
  switch (values) {
    case Values::random: return "random";
    case Values::wide: return "wide";
    case Values::denormal: return "denormal";
    case Values::far: return "far";
    case Values::overflowing: return "overflowing";
    case Values::some_minus_infinity: return "some_minus_infinity";
    case Values::infinity: return "infinity";
    case Values::all_minus_infinity: return "all_minus_infinity";
    case Values::nan: return "nan";
    case Values::equal: return "equal";
    case Values::integers: return "integers";
  }
  return "unknown";
}

std::vector<Case> cases(Op op, DType dtype, DType out_dtype, Depth depth) {
  Builder builder(dtype, out_dtype);
  switch (op) {
    case Op::softmax: softmax_cases(builder, depth); break;
    case Op::matmul: matmul_cases(builder, depth); break;
    case Op::sdpa: sdpa_cases(builder, depth); break;
  }
  return builder.take();
}

}  // namespace metallic::validation
