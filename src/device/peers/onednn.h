// SPDX-License-Identifier: Apache-2.0
// The part of the C interface of oneDNN that kernels use. The header is needed to build, and the library is found at run time.
#pragma once

#include <oneapi/dnnl/dnnl.h>

#include <optional>
#include <string>

namespace metallic::cpu {

static_assert(DNNL_VERSION_MAJOR == 2, "load_onednn loads libdnnl.so.2, which has the interface of version 2");

struct Onednn {
  decltype(&dnnl_version) version;
  decltype(&dnnl_engine_create) engine_create;
  decltype(&dnnl_stream_create) stream_create;
  decltype(&dnnl_memory_desc_init_by_strides) memory_desc_init_by_strides;
  decltype(&dnnl_memory_desc_get_size) memory_desc_get_size;
  decltype(&dnnl_memory_create) memory_create;
  decltype(&dnnl_memory_destroy) memory_destroy;
  decltype(&dnnl_matmul_desc_init) matmul_desc_init;
  decltype(&dnnl_softmax_v2_forward_desc_init) softmax_desc_init;
  decltype(&dnnl_primitive_attr_create) attr_create;
  decltype(&dnnl_primitive_attr_destroy) attr_destroy;
  decltype(&dnnl_primitive_attr_set_scratchpad_mode) attr_set_scratchpad_mode;
  decltype(&dnnl_primitive_attr_set_output_scales) attr_set_output_scales;
  decltype(&dnnl_primitive_attr_set_post_ops) attr_set_post_ops;
  decltype(&dnnl_post_ops_create) post_ops_create;
  decltype(&dnnl_post_ops_append_sum) post_ops_append_sum;
  decltype(&dnnl_post_ops_destroy) post_ops_destroy;
  decltype(&dnnl_primitive_desc_create) primitive_desc_create;
  decltype(&dnnl_primitive_desc_destroy) primitive_desc_destroy;
  decltype(&dnnl_primitive_desc_query_md) primitive_desc_query_md;
  decltype(&dnnl_primitive_create) primitive_create;
  decltype(&dnnl_primitive_destroy) primitive_destroy;
  decltype(&dnnl_primitive_execute) primitive_execute;
  /// The OpenMP runtime of the library: the number of threads of parallel regions that the calling thread starts.
  void (*omp_set_num_threads)(int threads);
  int (*omp_get_max_threads)();

  dnnl_engine_t engine = nullptr;  ///< of the CPU, shared by all kernels
  dnnl_stream_t stream = nullptr;  ///< has no state on a CPU, where calls return when their work is done
};

/// Loads the library and returns its version, or nothing if it is missing or incomplete. `libraries()` calls it once.
std::optional<std::string> load_onednn();

/// Null if `libraries()` has not loaded it.
const Onednn* onednn();

}  // namespace metallic::cpu
