// SPDX-License-Identifier: Apache-2.0
// Kernels made of oneDNN primitives; the oneDNN variants of all operations share them.
#pragma once

#include <initializer_list>
#include <memory>

#include "device/peers/onednn.h"
#include "ops/variant.h"

namespace metallic {

struct DestroyPrimitiveDescription {
  void operator()(dnnl_primitive_desc* description) const { cpu::onednn()->primitive_desc_destroy(description); }
};

/// The implementation that oneDNN chose for an operation, a number of threads and the layouts of the operands.
using PrimitiveDescription = std::unique_ptr<dnnl_primitive_desc, DestroyPrimitiveDescription>;

/// Null if oneDNN has no implementation. The primitive multiplies its result by `scale` and adds `keep` times the old output,
/// which it does not read if keep = 0. `operation` is a dnnl_…_desc_t.
PrimitiveDescription describe(const_dnnl_op_desc_t operation, int threads, float scale = 1, float keep = 0);

/// oneDNN's constant for a type.
dnnl_data_type_t onednn_type(DType dtype);

/// The kernel of a description. `inputs` are the DNNL_ARG_… of in[0], in[1], …, and the output is DNNL_ARG_DST. Each run
/// allocates oneDNN's handles of the operands.
Result<std::unique_ptr<const Kernel>> onednn_kernel(const PrimitiveDescription& description, std::initializer_list<int> inputs,
                                                    int threads);

}  // namespace metallic
