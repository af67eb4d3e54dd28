// SPDX-License-Identifier: Apache-2.0
// Loads oneDNN and makes its CPU engine.
#include "device/peers/onednn.h"

#include <fmt/format.h>

#include <atomic>

#include "base/shared_library.h"

namespace metallic::cpu {
namespace {
std::atomic<const Onednn*> loaded = nullptr;
}

std::optional<std::string> load_onednn() {
  const SharedLibrary library("libdnnl.so.2");
  static Onednn api{};
  const bool complete = library.find("dnnl_version", api.version) && library.find("dnnl_engine_create", api.engine_create) &&
                        library.find("dnnl_stream_create", api.stream_create) &&
                        library.find("dnnl_memory_desc_init_by_strides", api.memory_desc_init_by_strides) &&
                        library.find("dnnl_memory_desc_get_size", api.memory_desc_get_size) &&
                        library.find("dnnl_memory_create", api.memory_create) &&
                        library.find("dnnl_memory_destroy", api.memory_destroy) &&
                        library.find("dnnl_matmul_desc_init", api.matmul_desc_init) &&
                        library.find("dnnl_softmax_v2_forward_desc_init", api.softmax_desc_init) &&
                        library.find("dnnl_primitive_attr_create", api.attr_create) &&
                        library.find("dnnl_primitive_attr_destroy", api.attr_destroy) &&
                        library.find("dnnl_primitive_attr_set_scratchpad_mode", api.attr_set_scratchpad_mode) &&
                        library.find("dnnl_primitive_attr_set_output_scales", api.attr_set_output_scales) &&
                        library.find("dnnl_primitive_attr_set_post_ops", api.attr_set_post_ops) &&
                        library.find("dnnl_post_ops_create", api.post_ops_create) &&
                        library.find("dnnl_post_ops_append_sum", api.post_ops_append_sum) &&
                        library.find("dnnl_post_ops_destroy", api.post_ops_destroy) &&
                        library.find("dnnl_primitive_desc_create", api.primitive_desc_create) &&
                        library.find("dnnl_primitive_desc_destroy", api.primitive_desc_destroy) &&
                        library.find("dnnl_primitive_desc_query_md", api.primitive_desc_query_md) &&
                        library.find("dnnl_primitive_create", api.primitive_create) &&
                        library.find("dnnl_primitive_destroy", api.primitive_destroy) &&
                        library.find("dnnl_primitive_execute", api.primitive_execute) &&
                        library.find("omp_set_num_threads", api.omp_set_num_threads) &&
                        library.find("omp_get_max_threads", api.omp_get_max_threads);
  if (!complete || api.engine_create(&api.engine, dnnl_cpu, 0) != dnnl_success ||
      api.stream_create(&api.stream, api.engine, dnnl_stream_default_flags) != dnnl_success)
    return std::nullopt;
  loaded.store(&api, std::memory_order_release);
  const dnnl_version_t* version = api.version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

const Onednn* onednn() { return loaded.load(std::memory_order_acquire); }

}  // namespace metallic::cpu
