// SPDX-License-Identifier: Apache-2.0
// Cost surfaces of known truth, in the forms that cost curves take: softmax (vec, block) and matmul (gemv, gemm).
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "ops/matmul/shape.h"
#include "ops/softmax/shape.h"
#include "testing/simulation.h"

namespace metallic::tune {

inline const KernelConfig kVec = {"cpu_vec", "unroll=4"}, kBlock = {"cpu_block", "segment=1024"};
inline const KernelConfig kGemv = {"cpu_gemv", "rows=2"}, kGemm = {"cpu_gemm", "pack=0"}, kPacked = {"cpu_gemm", "pack=1"};

inline double keys(const Problem& p) { return static_cast<double>(p.as<SoftmaxShape>().seq_k); }
inline double rows(const Problem& p) { return static_cast<double>(p.as<SoftmaxShape>().rows()); }
inline double small(const Problem& p) { return static_cast<double>(p.as<MatmulShape>().small()); }
inline double big(const Problem& p) { return static_cast<double>(p.as<MatmulShape>().big()); }
inline double inner(const Problem& p) { return static_cast<double>(p.as<MatmulShape>().k); }

inline constexpr int64_t kLeastKeys = 64, kMostKeys = 65536;

/// Softmax over powers of two of seq_k; judged at seq_k 5 % apart, and at twice each number of rows too.
inline Surface softmax_surface(std::string name, std::vector<SimulatedKernel> candidates,
                               const std::vector<int64_t>& rows = {64}) {
  Surface surface{.name = std::move(name), .candidates = std::move(candidates)};
  const auto problem = [](int64_t rows, int64_t keys) {
    Problem p = softmax_problem(rows, keys);
    p.threads = 2;
    return p;
  };
  for (const int64_t r : rows) {
    for (int64_t k = kLeastKeys; k <= kMostKeys; k *= 2) surface.tuned.push_back(problem(r, k));
    for (const int64_t near : {r, 2 * r}) {
      if (near != r && rows.size() == 1) continue;
      for (double k = kLeastKeys; k <= kMostKeys; k *= 1.05) surface.dense.push_back(problem(near, static_cast<int64_t>(k)));
    }
  }
  surface.default_choice = [](const Problem& p) { return p.as<SoftmaxShape>().seq_k <= 1024 ? kVec : kBlock; };
  surface.default_rules = [](const RuleKey&) -> std::vector<Rule> {
    return {{.when = {{.axis = Axis::seq_k, .high = 1024}}, .use = kVec.variant}, {.use = kBlock.variant}};
  };
  return surface;
}

/// Matmul with small n on both sides of the weights; judged at every n, and at big and k between the tuned ones.
inline Surface matmul_surface(std::string name, std::vector<SimulatedKernel> candidates) {
  Surface surface{.name = std::move(name), .candidates = std::move(candidates)};
  const auto add = [](std::vector<Problem>& to, int64_t big, int64_t k, int64_t n) {
    for (Problem p : {matmul_problem(big, k, n), matmul_problem(n, k, big)}) {
      p.threads = 2;
      to.push_back(p);
    }
  };
  for (const int64_t big : {1024, 4096, 16384})
    for (const int64_t k : {1024, 4096, 16384})
      for (int64_t n = 1; n <= 64; n *= 2) add(surface.tuned, big, k, n);
  for (const int64_t big : {1024, 2048, 6000, 16384})
    for (const int64_t k : {1024, 2048, 6000, 16384})
      for (int64_t n = 1; n <= 64; ++n) add(surface.dense, big, k, n);
  surface.default_choice = [](const Problem& p) {
    const auto& s = p.as<MatmulShape>();
    if (s.small() <= 16) return kGemv;
    return s.big() >= 64 ? kPacked : kGemm;
  };
  surface.default_rules = [](const RuleKey&) -> std::vector<Rule> {
    return {{.when = {{.axis = Axis::n, .high = 16}}, .use = kGemv.variant},
            {.when = {{.axis = Axis::big, .low = 64}}, .use = kPacked.variant, .tuning = kPacked.tuning},
            {.use = kGemm.variant, .tuning = kGemm.tuning}};
  };
  return surface;
}

/// Vec costs more with each key, `gain` of it far beyond the crossover, and block more from the start: they cost the same
/// where seq_k is `crossover`.
inline Surface one_crossover(double crossover, double gain = 0.5) {
  return softmax_surface("one crossover", {{kVec, [=](const Problem& p) { return 100 + keys(p) * (1 + gain); }},
                                           {kBlock, [=](const Problem& p) { return 100 + gain * crossover + keys(p); }}});
}

/// Block's time is vec's times exp(−log_ratio(seq_k)).
inline Surface softmax_by_ratio(std::string name, std::function<double(double)> log_ratio) {
  return softmax_surface(std::move(name),
                         {{kVec, [](const Problem& p) { return 100 + keys(p); }},
                          {kBlock, [=](const Problem& p) { return (100 + keys(p)) * std::exp(-log_ratio(keys(p))); }}});
}

inline Surface block_always() {
  return softmax_by_ratio("block always", [](double) { return 0.15; });
}
inline Surface vec_always() {
  return softmax_by_ratio("vec always", [](double) { return -0.15; });
}
inline Surface flat() {
  return softmax_by_ratio("flat", [](double) { return 0; });
}
inline Surface flat_with_step() {
  return softmax_by_ratio("flat with a step", [](double k) { return k <= 6000 ? 0 : 0.15; });
}

/// Vec up to 300, block up to 3000, vec up to 20000, block beyond, with hills of 16 % and 12 % between the crossovers.
inline Surface several_crossovers() {
  return softmax_by_ratio("several crossovers", [](double k) {
    const double x = std::log(k);
    return 0.04 * (x - std::log(300.0)) * (x - std::log(3000.0)) * (x - std::log(20000.0));
  });
}

/// Both slow down where a row leaves the first cache and all of them leave the next: vec, which reads a row three times, more.
inline Surface cache_edges() {
  const auto time = [](const Problem& p, double passes, double start) {
    const double row = keys(p) * 4, all = row * rows(p);
    double per_key = 1;
    if (row > 32 << 10) per_key += 0.3 * passes;
    if (all > 1 << 20) per_key += 0.1 * passes;
    if (all > 8 << 20) per_key += 0.2 * passes;
    return start + keys(p) * per_key;
  };
  return softmax_surface("cache edges", {{kVec, [=](const Problem& p) { return time(p, 3, 100); }},
                                         {kBlock, [=](const Problem& p) { return time(p, 2, 900) + 0.15 * keys(p); }}});
}

/// The crossover moves with the rows: 8192 at one row, 512 at 256.
inline Surface rows_shift() {
  const auto crossover = [](const Problem& p) { return 8192 / std::sqrt(rows(p)); };
  return softmax_surface("rows shift the crossover",
                         {{kVec, [=](const Problem& p) { return 100 + keys(p) * (1 + keys(p) / crossover(p)); }},
                          {kBlock, [](const Problem& p) { return 100 + keys(p) * 2; }}},
                         {1, 4, 16, 64, 256});
}

/// Each family's best tuning grows with seq_k; the families cross near 3000, and which tuning is best changes there too.
inline Surface softmax_tunings() {
  std::vector<SimulatedKernel> candidates;
  const auto off = [](const Problem& p, double best_at) {
    const double octaves = std::log2(keys(p) / best_at);
    return 1 + 0.02 * octaves * octaves / (1 + 0.1 * octaves * octaves);
  };
  for (const int unroll : {1, 2, 4})
    candidates.push_back({{"cpu_vec", "unroll=" + std::to_string(unroll)}, [=](const Problem& p) {
                            return (100 + keys(p) * (1 + keys(p) / 3000)) * off(p, 100 * unroll * unroll);
                          }});
  for (const int segment : {512, 1024, 4096})
    candidates.push_back({{"cpu_block", "segment=" + std::to_string(segment)},
                          [=](const Problem& p) { return (100 + keys(p) * 2) * off(p, 8 * segment); }});
  return softmax_surface("tunings", std::move(candidates));
}

/// Six candidates that cost the same everywhere.
inline Surface flat_tunings() {
  std::vector<SimulatedKernel> candidates;
  for (const KernelConfig& config : {kVec, KernelConfig{"cpu_vec", "unroll=1"}, KernelConfig{"cpu_vec", "unroll=2"}, kBlock,
                                     KernelConfig{"cpu_block", "segment=512"}, KernelConfig{"cpu_block", "segment=4096"}})
    candidates.push_back({config, [](const Problem& p) { return 100 + keys(p); }});
  return softmax_surface("flat tunings", std::move(candidates));
}

/// As many, where any but the default's loses one percent: less than what noise seems to promise.
inline Surface default_best() {
  Surface surface = flat_tunings();
  surface.name = "default best";
  for (SimulatedKernel& candidate : surface.candidates)
    candidate.time = [config = candidate.config, built_in = surface.default_choice](const Problem& p) {
      return (100 + keys(p)) * (config == built_in(p) ? 1 : 1.01);
    };
  return surface;
}

/// GEMV pays for each column, GEMM for its start: they meet at n = 6 with the weights in A, 24 in B.
inline Surface matmul_crossover() {
  const auto limit = [](const Problem& p) { return p.as<MatmulShape>().weights_in_a() ? 6.0 : 24.0; };
  const auto gemm = [=](const Problem& p) { return big(p) * inner(p) * (1 + limit(p)) * (1 + small(p) / 1000); };
  return matmul_surface("matmul crossover", {{kGemv, [](const Problem& p) { return big(p) * inner(p) * (1 + small(p)); }},
                                             {kPacked, gemm},
                                             {kGemm, [=](const Problem& p) { return gemm(p) * 1.1; }}});
}

/// The deeper the product, the earlier packing pays: the crossover falls from n = 20 at k 1024 to 5 at 16384.
inline Surface matmul_depth() {
  const auto limit = [](const Problem& p) { return 20 * std::sqrt(1024 / inner(p)); };
  return matmul_surface("k shifts the crossover",
                        {{kGemv, [](const Problem& p) { return big(p) * inner(p) * (4 + small(p)); }},
                         {kPacked, [=](const Problem& p) { return big(p) * inner(p) * (4 + limit(p) + small(p) / 100); }},
                         {kGemm, [=](const Problem& p) { return big(p) * inner(p) * (4.4 + limit(p) + small(p) / 50); }}});
}

inline Surface matmul_flat() {
  const auto time = [](const Problem& p) { return big(p) * inner(p) * (4 + small(p)); };
  return matmul_surface("matmul flat", {{kGemv, time}, {kPacked, time}, {kGemm, time}});
}

inline std::vector<Surface> all_surfaces() {
  return {one_crossover(300), one_crossover(6000),  block_always(),     vec_always(),   flat(),
          flat_with_step(),   several_crossovers(), cache_edges(),      rows_shift(),   softmax_tunings(),
          flat_tunings(),     default_best(),       matmul_crossover(), matmul_depth(), matmul_flat()};
}

}  // namespace metallic::tune
