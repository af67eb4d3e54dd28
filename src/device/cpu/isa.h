// SPDX-License-Identifier: Apache-2.0
// Picks the instance of a kernel that was compiled for a given SIMD target, where Highway would pick one for the whole process.
#pragma once

#include <hwy/targets.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace metallic::cpu {

struct Isa {
  const char* name;  ///< Highway's name of the target, e.g. "AVX3"
  int64_t bit;       ///< Highway's bit of the target
};

/// The targets that kernels are compiled for and that this CPU runs, widest first; never empty.
std::vector<Isa> supported_isas();

/// The entry of a table made by HWY_EXPORT for a target bit. If the table has none for it, the fallback, which runs everywhere.
/// kTargets gives files that compile different targets functions of their own.
template <typename Function, size_t kEntries, int64_t kTargets = HWY_TARGETS>
Function pick(Function const (&table)[kEntries], int64_t isa_bit) {
  if constexpr (kEntries == 1) return table[0];
  hwy::ChosenTarget target;
  target.Update(isa_bit);
  return table[target.GetIndex()];
}

}  // namespace metallic::cpu
