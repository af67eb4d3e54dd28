#include "models/survey.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "core/label.h"

namespace metallic {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 24;
constexpr double kMostOperations = 1 << 29;

// New shapes of an operation, each once and as cheap as asked for.
class Shapes {
 public:
  explicit Shapes(std::span<const WeightedProblem> known) {
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

class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}
  int64_t log_uniform(double low, double high) {
    return static_cast<int64_t>(std::lround(std::exp(std::uniform_real_distribution(std::log(low), std::log(high))(random_))));
  }

 private:
  std::mt19937_64 random_;
};

void add_softmaxes(int drawn, Shapes& shapes, Draw& draw) {
  for (const int64_t rows : {1, 4, 16, 128, 1024})
    for (const int64_t seq_k : {16, 63, 65, 256, 1023, 4097, 16384, 65536}) shapes.add(softmax_problem(rows, seq_k), "grid");
  for (int i = 0; i < drawn; ++i) shapes.add(softmax_problem(draw.log_uniform(1, 2048), draw.log_uniform(16, 131072)), "drawn");
}

// The two ways in which engines call: weights first, and activations by transposed weights. Then the two others, which only need
// to be known not to be far off.
void add_matmuls(int drawn, Shapes& shapes, Draw& draw) {
  struct Way {
    bool weights_in_b, transposed, usual;
  };
  for (const Way way : {Way{false, false, true}, {true, true, true}, {true, false, false}, {false, true, false}}) {
    const auto add = [&](int64_t big, int64_t k, int64_t n, const char* role) {
      shapes.add(
          way.weights_in_b ? matmul_problem(n, k, big, false, way.transposed) : matmul_problem(big, k, n, false, way.transposed),
          role);
    };
    for (const int64_t big : {64, 512, 4096})
      for (const int64_t k : {64, 512, 4096})
        for (const int64_t n : {1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 32, 64, 192})
          if (way.usual && n < big) add(big, k, n, "grid");
    for (int i = 0; i < (way.usual ? drawn : drawn / 2); ++i) {
      const int64_t big = draw.log_uniform(32, 8192), n = draw.log_uniform(1, 256);
      add(std::max(big, n + 1), draw.log_uniform(32, 8192), std::min(n, big), "drawn");
    }
  }
}

}  // namespace

std::vector<WeightedProblem> survey(std::span<const WeightedProblem> problems, int drawn, uint64_t seed) {
  std::vector<WeightedProblem> found;
  std::set<std::pair<Op, DType>> kinds;
  for (const WeightedProblem& each : problems) kinds.emplace(each.problem.op(), each.problem.dtype);
  for (const auto& [op, dtype] : kinds) {
    if (op == Op::sdpa) continue;
    Shapes shapes(problems);
    Draw draw(seed);
    if (op == Op::softmax) add_softmaxes(drawn, shapes, draw);
    if (op == Op::matmul) add_matmuls(drawn, shapes, draw);
    for (WeightedProblem& each : shapes.take()) {
      each.problem = with_dtype(each.problem, dtype);
      found.push_back(std::move(each));
    }
  }
  return found;
}

}  // namespace metallic
