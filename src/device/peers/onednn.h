// oneDNN's C interface, as far as kernels use it. Its header is needed to build; the library is found at run time.
#pragma once

#include <oneapi/dnnl/dnnl.h>

namespace metallic::cpu {

static_assert(DNNL_VERSION_MAJOR == 2, "libdnnl.so.2, which is loaded, has the interface of version 2");

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
  /// Of the OpenMP runtime that the library brought: how many threads the calling thread's parallel regions get.
  void (*omp_set_num_threads)(int threads);
  int (*omp_get_max_threads)();

  dnnl_engine_t engine = nullptr;  ///< one of the CPU, for all
  dnnl_stream_t stream = nullptr;  ///< without state on a CPU: calls return when their work is done
};

/// Null where `libraries()` has not loaded it.
const Onednn* onednn();

}  // namespace metallic::cpu
