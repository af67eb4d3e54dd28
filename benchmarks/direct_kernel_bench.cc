// SPDX-License-Identifier: Apache-2.0
// Kernels without the dispatcher: each variant and tuning on shapes around the thresholds.
#include "benchmarks/kernel_benchmark.h"
#include "ops/registry.h"

namespace metallic::benchmarks {
namespace {

void add_all(Context& context, Problem problem) {
  problem.threads = context.threads();
  for (const Variant& variant : variants(problem.op())) {
    if (variant.family == "reference") continue;
    for (const Tuning& tuning : variant.tunings) {
      if (variant.rejects(problem, tuning, context.device())) continue;
      add("direct_kernel", to_string(variant, tuning), problem, context,
          [&context, &variant, problem, tuning] { return variant.prepare(problem, tuning, context.device(), context); });
    }
  }
}

void register_all(Context& context) {
  for (const Problem& problem : problems({
           // N varies at fixed M and K; then M, with weights as inference engines store them.
           "4096x4096x1+2+3+4+8+16+32",
           "1+2+3+4+8+16+32x4096x4096_tb",
           "64x64x64",
           "128x128x128",
           "256x256x256",
           "512x512x512",
           "1024x1024x1024",
           "128x4096x4096_tb",
           "rows64_seqk128..32768",
           // Decoding and prefill of Llama 3.1 8B.
           "batch1_h32kv8_seqq1_seqk512+2048+8192_d128_causal",
           "batch1_h32kv8_seqq128+512_seqk512_d128_causal",
       }))
    add_all(context, problem);
  for (const Problem& problem : problems({"4096x4096x1+4+16", "1+4+16x4096x4096_tb", "512x512x512", "rows64_seqk1024..16384",
                                          "batch1_h32kv8_seqq1_seqk512+2048+8192_d128_causal"}))
    for (const DType dtype : {DType::f16, DType::bf16}) add_all(context, with_dtype(problem, dtype));
}

}  // namespace
}  // namespace metallic::benchmarks

int main(int argc, char** argv) { return metallic::benchmarks::run_program(argc, argv, metallic::benchmarks::register_all); }
