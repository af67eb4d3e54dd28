#include "dispatch/defaults.h"

#include <fmt/format.h>

#include <utility>

namespace metallic {

std::vector<Rule> default_rules(const RuleKey& key, const Thresholds& t, const DeviceFacts& facts) {
  const auto named = [&](std::string_view what) { return fmt::format("{}_{}", facts.backend, what); };
  if (key.op == Op::softmax)
    return {
        {.when = {{.axis = Axis::seq_k, .high = t.softmax_vec_block}}, .use = named("vec")},
        {.use = named("block")},
    };
  if (key.op == Op::sdpa)
    return {
        // Few queries leave most of a tile empty; up to 16 of each head, with four heads that share K and V, reading the keys
        // once for all of them wins (4096 keys: 2.6 times with 2 queries, 1.0 to 1.1 with 16; a head alone 1.8 with 16).
        {.when = {{.axis = Axis::seq_q, .high = 16}}, .use = named("decode")},
        {.use = named("flash")},
        // Whose order of summation batch_invariant admits.
        {.use = named("materialized")},
    };
  const Range small = {.axis = Axis::n, .high = t.smalln_max_n};
  std::vector<Rule> rules;
  // The guide knows one type. Instructions for bf16 are twice to ten times as fast as widening it; dot products want rows of
  // weights along K.
  const bool dots = key.dtype == DType::bf16 && facts.bf16_dots;
  if (dots && key.layout.starts_with("nt")) rules.push_back({.when = {small}, .use = named("gemv_bf16")});
  for (const auto& [layout, side] : {std::pair{"nn", 0}, {"tt", 1}})
    if (dots && key.layout.starts_with(layout))
      rules.push_back({.when = {small, {.axis = Axis::side, .low = side, .high = side}}, .use = named("gemv_bf16")});
  // The copy engine, which Hopper and later cards have, and, where products are large, Hopper's tensor cores (H200: 128 columns
  // of 4096 × 4096 0.8 times as fast, 256 of 14336 × 4096 twice; of a tune's shapes those beyond 192 gain on average, but for
  // short K).
  const bool copies = facts.backend == "cuda" && facts.isa_bit >= 90 && key.dtype != DType::f32;
  if (copies) rules.push_back({.when = {small}, .use = named("gemv_tma")});
  rules.push_back({.when = {small}, .use = named("gemv")});
  // A GPU's GEMM packs nothing.
  if (copies && facts.isa_bit == 90)
    rules.push_back({.when = {{.axis = Axis::n, .low = 193}, {.axis = Axis::k, .low = 256}}, .use = named("wgmma")});
  if (facts.backend != "cpu") {
    rules.push_back({.use = named("gemm")});
    return rules;
  }
  if (dots && facts.amx) rules.push_back({.use = named("gemm_amx")});
  if (dots) rules.push_back({.use = named("gemm_bf16")});
  rules.insert(rules.end(), {
                                {.when = {{.axis = Axis::big, .low = t.simd_m_min}, {.axis = Axis::n, .low = t.simd_n_min}},
                                 .use = named("gemm"),
                                 .tuning = "pack=1"},
                                {.use = named("gemm"), .tuning = "pack=0"},
                                // What the unpacked path rejects: operands whose columns are not contiguous.
                                {.use = named("gemm"), .tuning = "pack=1"},
                            });
  return rules;
}

}  // namespace metallic
