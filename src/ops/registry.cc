#include "ops/registry.h"

#include <algorithm>

namespace metallic {

std::span<const Variant> softmax_variants();
std::span<const Variant> matmul_variants();
std::span<const Variant> sdpa_variants();

std::span<const Variant> variants(Op op) {
  switch (op) {
    case Op::softmax: return softmax_variants();
    case Op::matmul: return matmul_variants();
    case Op::sdpa: return sdpa_variants();
  }
  return {};
}

const Variant* find_variant(Op op, std::string_view name) {
  for (const Variant& variant : variants(op))
    if (variant.name == name) return &variant;
  return nullptr;
}

bool calls_library(std::string_view name) {
  return std::ranges::any_of(kOps, [&](Op op) {
    const Variant* variant = find_variant(op, name);
    return variant && !variant->library().empty();
  });
}

}  // namespace metallic
