#include "dispatch/defaults.h"

#include <fmt/format.h>

#include <utility>

namespace metallic {

std::vector<Rule> default_rules(const RuleKey& key, const Thresholds& t, const DeviceInfo& device) {
  const auto named = [&](std::string_view what) { return fmt::format("{}_{}", device.backend, what); };
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
  // Adds `use` where rows of weights lie along K, or where they do not: in one of the operands, or whichever has the weights.
  const auto add = [&](bool along_k, std::vector<Range> when, std::string use) {
    if (key.layout.substr(1).starts_with('p')) return;  // no GEMV takes packed weights
    const bool a_along = key.layout.starts_with('n'), b_along = key.layout.substr(1).starts_with('t');
    if (a_along == b_along) {
      if (a_along != along_k) return;
    } else {
      const int side = a_along == along_k ? 0 : 1;
      when.push_back({.axis = Axis::side, .low = side, .high = side});
    }
    rules.push_back({.when = std::move(when), .use = std::move(use)});
  };
  // The guide knows one type. Instructions for bf16 are twice to ten times as fast as widening it; dot products want rows of
  // weights along K.
  const bool dots = key.dtype == DType::bf16 && device.is_cpu() && device.cpu().bf16_dots;
  if (dots) add(true, {small}, named("gemv_bf16"));
  // The copy engine, which Hopper and later cards have, and, where products are large, Hopper's tensor cores.
  const bool copies = device.is_cuda() && device.cuda().sm_version >= 90 && key.dtype != DType::f32;
  if (copies) rules.push_back({.when = {{.axis = Axis::n, .high = t.smalln_most_n}}, .use = named("gemv_tma")});
  if (device.is_cpu()) {
    rules.push_back({.when = {small}, .use = named("gemv")});
  } else {
    // Of short K a tile of `gemm` has it all at once; of few rows of weights it has few tiles.
    const Range long_k = {.axis = Axis::k, .low = 64};
    add(true, {small, long_k}, named("gemv"));
    add(true, {{.axis = Axis::big, .high = 256}, {.axis = Axis::n, .high = t.smalln_most_n}, {.axis = Axis::k, .low = 1536}},
        named("gemv"));
    if (t.smalln_across_max_n > 0) add(false, {{.axis = Axis::n, .high = t.smalln_across_max_n}, long_k}, named("gemv"));
  }
  // A GPU's GEMM packs nothing.
  if (copies && device.cuda().sm_version == 90)
    rules.push_back({.when = {{.axis = Axis::big, .low = 1024}, {.axis = Axis::n, .low = 17}, {.axis = Axis::k, .low = 256}},
                     .use = named("wgmma")});
  if (device.is_cuda()) {
    rules.push_back({.use = named("gemm")});
    return rules;
  }
  if (dots && device.cpu().amx) rules.push_back({.use = named("gemm_amx")});
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
