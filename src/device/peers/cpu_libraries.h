// SPDX-License-Identifier: Apache-2.0
// CPU libraries that peer variants call, found at run time. None is linked, because OpenBLAS and BLIS export the same symbols,
// and each library starts threads when it is loaded.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "device/info.h"

namespace metallic::cpu {

/// A library that this build has variants for; it may be missing on this machine.
struct KnownLibrary {
  std::string_view name;     ///< as in `Library`
  std::string_view package;  ///< the Debian package
};
std::span<const KnownLibrary> known_libraries();

/// The known libraries of this machine. The first call loads them, and they stay loaded until the process ends. Thread-safe. None
/// under ThreadSanitizer, which does not see how their threads synchronise.
std::vector<Library> libraries();

/// The part of the C interface of a BLAS that kernels use.
struct Blas {
  static constexpr int kRowMajor = 101, kPlain = 111, kTransposed = 112;
  /// Row-major C[m,n] = alpha·op(A)·op(B) + beta·C.
  void (*sgemm)(int order, int op_a, int op_b, int m, int n, int k, float alpha, const float* a, int lda, const float* b, int ldb,
                float beta, float* c, int ldc);
  /// Sets the number of threads of all later calls in the process, including the caller.
  void (*set_threads)(const int* threads);
};

/// The library "openblas" or "blis", or null if `libraries()` has not loaded it.
const Blas* find_blas(std::string_view name);

}  // namespace metallic::cpu
