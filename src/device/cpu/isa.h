// The SIMD target as a fact: picks a kernel's compiled instance for a given target instead of a process-wide one.
#pragma once

#include <hwy/targets.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace metallic::cpu {

struct Isa {
  const char* name;  ///< Highway's, e.g. "AVX3"
  int64_t bit;       ///< Highway's target bit
};

/// The targets that are compiled in and that this CPU runs, widest first; never empty.
std::vector<Isa> supported_isas();

/// The entry of a table made by HWY_EXPORT that belongs to a target bit; the fallback where it is not compiled in.
template <typename Function, size_t kEntries>
Function pick(Function const (&table)[kEntries], int64_t isa_bit) {
  if constexpr (kEntries == 1) return table[0];
  hwy::ChosenTarget target;
  target.Update(isa_bit);
  return table[target.GetIndex()];
}

}  // namespace metallic::cpu
