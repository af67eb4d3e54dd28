#include "kernels/variants.h"

namespace metallic {

std::span<const Variant> softmax_variants();
std::span<const Variant> matmul_variants();

std::span<const Variant> variants(Op op) { return op == Op::softmax ? softmax_variants() : matmul_variants(); }

const Variant* find_variant(Op op, std::string_view name) {
  for (const Variant& variant : variants(op))
    if (variant.name == name) return &variant;
  return nullptr;
}

}  // namespace metallic
