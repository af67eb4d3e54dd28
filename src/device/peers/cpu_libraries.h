// Libraries of kernels that others wrote, found at run time. None is linked: OpenBLAS and BLIS export the same symbols, and
// each starts threads when it is loaded, so that nothing is loaded before it is asked for.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "device/info.h"

namespace metallic::cpu {

/// A library that kernels are written for, whether or not it is here.
struct KnownLibrary {
  std::string_view name;     ///< as in `Library`
  std::string_view package;  ///< Debian's, that has it
};
std::span<const KnownLibrary> known_libraries();

/// The known libraries of this machine, loaded by the first call and kept until the process ends; safe from several threads.
/// None under ThreadSanitizer, which does not see how their threads synchronise.
std::vector<Library> libraries();

/// The C interface of a BLAS, as far as kernels use it.
struct Blas {
  static constexpr int kRowMajor = 101, kPlain = 111, kTransposed = 112;
  /// Row-major C[m,n] = alpha·op(A)·op(B) + beta·C.
  void (*sgemm)(int order, int op_a, int op_b, int m, int n, int k, float alpha, const float* a, int lda, const float* b, int ldb,
                float beta, float* c, int ldc);
  /// Of the process: how many threads calls from now on use, the caller included.
  void (*set_threads)(const int* threads);
};

/// "openblas" or "blis", or null where `libraries()` has not loaded it.
const Blas* find_blas(std::string_view name);

}  // namespace metallic::cpu
