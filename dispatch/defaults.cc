#include "dispatch/defaults.h"

#include <fmt/format.h>

namespace metallic {

std::vector<Rule> default_rules(Op op, const Thresholds& t, std::string_view backend) {
  const auto named = [&](std::string_view what) { return fmt::format("{}_{}", backend, what); };
  if (op == Op::softmax)
    return {
        {.when = {{.axis = Axis::seq_k, .high = t.softmax_vec_block}}, .use = named("vec")},
        {.use = named("block")},
    };
  if (op == Op::sdpa)
    return {
        // Few queries leave most of a tile empty; up to 16 of each head, with four heads that share K and V, reading the keys
        // once for all of them wins (4096 keys: 2.6 times with 2 queries, 1.0 to 1.1 with 16; a head alone 1.8 with 16).
        {.when = {{.axis = Axis::seq_q, .high = 16}}, .use = named("decode")},
        {.use = named("flash")},
        // Whose order of summation batch_invariant admits.
        {.use = named("materialized")},
    };
  return {
      {.when = {{.axis = Axis::n, .high = t.smalln_max_n}}, .use = named("gemv")},
      {.when = {{.axis = Axis::big, .low = t.simd_m_min}, {.axis = Axis::n, .low = t.simd_n_min}},
       .use = named("gemm"),
       .tuning = "pack=1"},
      {.use = named("gemm"), .tuning = "pack=0"},
      // What the unpacked path rejects: operands whose columns are not contiguous.
      {.use = named("gemm"), .tuning = "pack=1"},
  };
}

}  // namespace metallic
