// Grids and random shapes for each operation.
#include "tuner/workloads/shape_sampling.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "ops/label.h"

namespace metallic {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 24;
constexpr double kMostOperations = 1 << 29;

// Collects new shapes, each once, that are within the cost limits.
class SampledShapes {
 public:
  explicit SampledShapes(std::span<const WeightedProblem> known) {
    for (const WeightedProblem& each : known) seen_.insert(label(each.problem));
  }
  void add(const Problem& problem, const char* role) {
    if (work(problem).flops > kMostOperations || std::ranges::max(operand_bytes(problem)) > 4 * kMostElements) return;
    if (seen_.insert(label(problem)).second) found_.push_back({.problem = problem, .weight = 0, .role = role});
  }
  std::vector<WeightedProblem> take() { return std::move(found_); }

 private:
  std::set<std::string> seen_;
  std::vector<WeightedProblem> found_;
};

class LogUniform {
 public:
  explicit LogUniform(uint64_t seed) : generator_(seed) {}
  int64_t operator()(double low, double high) {
    return static_cast<int64_t>(std::lround(std::exp(std::uniform_real_distribution(std::log(low), std::log(high))(generator_))));
  }

 private:
  std::mt19937_64 generator_;
};

void add_softmaxes(int random_count, SampledShapes& shapes, LogUniform& random) {
  for (const int64_t rows : {1, 4, 16, 128, 1024})
    for (const int64_t seq_k : {16, 63, 65, 256, 1023, 4097, 16384, 65536}) shapes.add(softmax_problem(rows, seq_k), "grid");
  for (int i = 0; i < random_count; ++i) shapes.add(softmax_problem(random(1, 2048), random(16, 131072)), "drawn");
}

// Prefill of continued prompts: seq_q ≤ seq_k.
void add_causal_softmaxes(int random_count, SampledShapes& shapes, LogUniform& random) {
  const auto add = [&](int64_t batch, int64_t seq_q, int64_t seq_k, const char* role) {
    Problem problem = softmax_problem(batch, seq_q, seq_k);
    make_causal(std::get<SoftmaxShape>(problem.shape));
    shapes.add(problem, role);
  };
  for (const int64_t batch : {1, 16})
    for (const int64_t seq_q : {4, 33, 128, 512})
      for (const int64_t seq_k : {64, 257, 1024, 4095})
        if (seq_q <= seq_k) add(batch, seq_q, seq_k, "grid");
  for (int i = 0; i < random_count; ++i) {
    const int64_t seq_q = random(4, 1024);
    add(random(1, 64), seq_q, random(static_cast<double>(seq_q), 8192), "drawn");
  }
}

// Decoding of several sequences, and prompts, with the heads of a given problem.
void add_sdpas(const SdpaShape& heads, int random_count, SampledShapes& shapes, LogUniform& random) {
  const auto add = [&](int64_t batch, int64_t seq_q, int64_t seq_k, const char* role) {
    Problem problem = sdpa_problem(batch, heads.heads, heads.kv_heads, seq_q, seq_k, heads.head_dim);
    if (heads.causal) make_causal(std::get<SdpaShape>(problem.shape));
    shapes.add(problem, role);
  };
  for (const int64_t seq_q : {1, 4, 16, 64, 256})
    for (const int64_t seq_k : {64, 257, 1024, 4096})
      if (seq_q <= seq_k) add(1, seq_q, seq_k, "grid");
  for (int i = 0; i < random_count; ++i) {
    const int64_t seq_q = random(1, 512);
    add(seq_q < 16 ? random(1, 8) : 1, seq_q, random(static_cast<double>(std::max<int64_t>(seq_q, 32)), 8192), "drawn");
  }
}

// Engines use two orientations: weights first, and activations times transposed weights. The two others get fewer shapes.
void add_matmuls(int random_count, SampledShapes& shapes, LogUniform& random) {
  struct Orientation {
    bool weights_in_b, transposed, usual;
  };
  for (const Orientation orientation :
       {Orientation{false, false, true}, {true, true, true}, {true, false, false}, {false, true, false}}) {
    const auto add = [&](int64_t big, int64_t k, int64_t n, const char* role) {
      shapes.add(orientation.weights_in_b ? matmul_problem(n, k, big, false, orientation.transposed)
                                          : matmul_problem(big, k, n, false, orientation.transposed),
                 role);
    };
    // A small grid: many random values of big and k, each with some n, show more.
    for (const int64_t big : {64, 512, 4096})
      for (const int64_t k : {64, 512, 4096})
        for (const int64_t n : {1, 4, 16, 64})
          if (orientation.usual && n < big) add(big, k, n, "grid");
    for (const int64_t size : {512, 4096})
      for (const int64_t n : {2, 3, 5, 8, 9, 15, 17, 32, 192})
        if (orientation.usual) add(size, size, n, "grid");
    for (int i = 0; i < (orientation.usual ? random_count : random_count / 2); ++i) {
      const int64_t big = random(32, 8192), n = random(1, 256);
      add(std::max(big, n + 1), random(32, 8192), std::min(n, big), "drawn");
    }
  }
}

bool causal(const Problem& problem) {
  switch (problem.op()) {
    case Op::softmax: return problem.softmax().causal;
    case Op::matmul: return false;
    case Op::sdpa: return problem.sdpa().causal;
  }
  return false;
}

}  // namespace

std::vector<WeightedProblem> sample_shapes(std::span<const WeightedProblem> problems, int random_count, uint64_t seed) {
  std::vector<WeightedProblem> found;
  std::map<std::tuple<Op, DType, bool>, const Problem*> kinds;  // the first problem of each
  for (const WeightedProblem& each : problems)
    kinds.try_emplace({each.problem.op(), each.problem.dtype, causal(each.problem)}, &each.problem);
  for (const auto& [kind, first] : kinds) {
    SampledShapes shapes(problems);
    LogUniform random(seed);
    switch (first->op()) {
      case Op::softmax:
        if (causal(*first))
          add_causal_softmaxes(random_count / 4, shapes, random);
        else
          add_softmaxes(random_count / 2, shapes, random);
        break;
      case Op::matmul: add_matmuls(random_count, shapes, random); break;
      case Op::sdpa: add_sdpas(first->sdpa(), random_count / 4, shapes, random); break;
    }
    for (WeightedProblem& each : shapes.take()) {
      each.problem = with_dtype(each.problem, first->dtype);
      found.push_back(std::move(each));
    }
  }
  return found;
}

std::vector<WeightedProblem> sample_held_out_shapes(std::span<const WeightedProblem> problems, size_t count, uint64_t seed) {
  std::vector<WeightedProblem> drawn = sample_shapes(problems, 4 * static_cast<int>(count), seed);
  std::erase_if(drawn, [](const WeightedProblem& each) { return each.role != "drawn"; });
  std::map<std::pair<Op, bool>, std::vector<std::string>> labels;
  for (const WeightedProblem& each : drawn) {
    auto& of_kind = labels[{each.problem.op(), causal(each.problem)}];
    if (const std::string one = label(each.problem); std::ranges::find(of_kind, one) == of_kind.end()) of_kind.push_back(one);
  }
  std::mt19937_64 random(seed);
  for (auto& [kind, of_kind] : labels) std::ranges::shuffle(of_kind, random);
  std::set<std::string> wanted;
  for (size_t round = 0; wanted.size() < count; ++round) {
    const size_t before = wanted.size();
    for (const auto& [kind, of_kind] : labels)
      if (round < of_kind.size() && wanted.size() < count) wanted.insert(of_kind[round]);
    if (wanted.size() == before) break;
  }
  std::erase_if(drawn, [&](const WeightedProblem& each) { return !wanted.contains(label(each.problem)); });
  return drawn;
}

}  // namespace metallic
