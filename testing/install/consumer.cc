// SPDX-License-Identifier: Apache-2.0
// A program in C++17 and C++20 that knows nothing but the installed headers: one run of each operation, in f32 and bf16.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <metallic/metallic.hpp>
#include <string>
#include <vector>

namespace {

void near(const char* what, float got, double expected) {
  if (std::fabs(got - expected) <= 1e-6) return;
  std::fprintf(stderr, "%s is %.9g, not %.9g\n", what, got, expected);
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  // The first argument is the standard it should have been compiled for.
  if (argc != 2 || __cplusplus / 100 % 100 != std::atoi(argv[1])) return 1;
  const std::string header = std::to_string(METALLIC_VERSION_MAJOR) + "." + std::to_string(METALLIC_VERSION_MINOR) + "." +
                             std::to_string(METALLIC_VERSION_PATCH);
  if (header != metallic_version()) return 1;
  const metallic::Context context;

  std::vector<float> x = {0, std::log(2.0f), std::log(5.0f), 7, 7, 7};
  context.plan(metallic::softmax(2, 3)).run(x.data(), x.data());
  near("softmax[0][2]", x[2], 0.625);
  near("softmax[1][1]", x[4], 1.0 / 3);

  const std::vector<float> a = {1, 2, 3, 4}, b = {5, 7, 6, 8};
  std::vector<float> c(4);
  const auto kept = context.acquire(metallic::matmul(2, 2, 2).transpose_b());
  kept.run(a.data(), b.data(), c.data());
  if (kept.candidate().substr(0, 4) != "cpu_") return 1;
  near("C[0][0]", c[0], 19);
  near("C[1][1]", c[3], 50);

  // Small integers are their own upper halves in bf16.
  const std::vector<std::uint16_t> ab = {0x3f80, 0x4000, 0x4040, 0x4080}, bb = {0x40a0, 0x40e0, 0x40c0, 0x4100};
  c.assign(4, 0);
  context.plan(metallic::matmul(2, 2, 2).transpose_b().dtype(METALLIC_BF16, METALLIC_F32)).run(ab.data(), bb.data(), c.data());
  near("bf16 C[0][1]", c[1], 22);
  near("bf16 C[1][0]", c[2], 43);

  const std::vector<float> q = {std::log(3.0f), 0, 0, 0}, k = {0, 0, 1, 0}, v = {4, 8, 8, 16};
  std::vector<float> out(4);
  context.plan(metallic::sdpa(1, 2, 1, 1, 2, 2).scale(1)).run(q.data(), k.data(), v.data(), out.data());
  near("out[0][1]", out[1], 14);
  near("out[1][0]", out[2], 6);

  try {
    context.plan(metallic::matmul(-1, 2, 2));
    return 1;
  } catch (const metallic::Error& error) {
    return error.status() == METALLIC_INVALID_ARGUMENT ? 0 : 1;
  }
}
