// oneDNN's primitives as kernels: what its variants of several operations share.
#pragma once

#include <initializer_list>
#include <memory>

#include "device/peers/onednn.h"
#include "ops/variant.h"

namespace metallic {

struct DestroyDescription {
  void operator()(dnnl_primitive_desc* description) const { cpu::onednn()->primitive_desc_destroy(description); }
};

/// An implementation that oneDNN has chosen for an operation, a number of threads and operands laid out like ours.
using Description = std::unique_ptr<dnnl_primitive_desc, DestroyDescription>;

/// Null where oneDNN has none. The result is multiplied by `scale`, and `keep` times what the output held is added; with
/// keep = 0 it is not read. `operation` is a dnnl_…_desc_t.
Description describe(const_dnnl_op_desc_t operation, int threads, float scale = 1, float keep = 0);

/// The type as oneDNN calls it.
dnnl_data_type_t onednn_type(DType dtype);

/// The kernel of a description; `inputs` are the DNNL_ARG_… of in[0], in[1], …, and the output is DNNL_ARG_DST. oneDNN
/// allocates the handles of its operands at each run.
Result<std::unique_ptr<const Kernel>> onednn_kernel(const Description& description, std::initializer_list<int> inputs,
                                                    int threads);

}  // namespace metallic
