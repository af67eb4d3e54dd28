// SPDX-License-Identifier: Apache-2.0
// Creates and executes oneDNN primitives.
#include "ops/peers/onednn_kernel.h"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace metallic {
namespace {

constexpr int kMostArguments = 5;  // three inputs, the output, the scratchpad

// Sets the number of OpenMP threads of the calling thread and restores it at the end, because the process may use the same OpenMP
// itself. oneDNN chooses an implementation and sizes its scratchpad for the number of threads that it runs with.
class ScopedOmpThreads {
 public:
  ScopedOmpThreads(const cpu::Onednn& api, int threads) : api_(api), before_(api.omp_get_max_threads()) {
    if (threads != before_) api_.omp_set_num_threads(threads);
    changed_ = threads != before_;
  }
  ScopedOmpThreads(const ScopedOmpThreads&) = delete;
  ScopedOmpThreads& operator=(const ScopedOmpThreads&) = delete;
  ~ScopedOmpThreads() {
    if (changed_) api_.omp_set_num_threads(before_);
  }

 private:
  const cpu::Onednn& api_;
  int before_;
  bool changed_;
};

struct DestroyPrimitive {
  void operator()(dnnl_primitive* primitive) const { cpu::onednn()->primitive_destroy(primitive); }
};
struct DestroyMemory {
  void operator()(dnnl_memory* memory) const { cpu::onednn()->memory_destroy(memory); }
};

class OnednnKernel final : public Kernel {
 public:
  struct Argument {
    int name;
    dnnl_memory_desc_t layout;
  };

  OnednnKernel(dnnl_primitive_t primitive, std::span<const Argument> arguments, size_t inputs, size_t workspace, int threads)
      : primitive_(primitive), count_(arguments.size()), inputs_(inputs), workspace_(workspace), threads_(threads) {
    std::ranges::copy(arguments, arguments_.begin());
  }

  size_t workspace() const override { return workspace_; }

  Code run(const Args& args, std::byte* workspace, Executor&) const override {
    const cpu::Onednn& api = *cpu::onednn();
    std::array<std::unique_ptr<dnnl_memory, DestroyMemory>, kMostArguments> memories;
    std::array<dnnl_exec_arg_t, kMostArguments> passed{};
    for (size_t i = 0; i < count_; ++i) {
      void* data = i < inputs_ ? const_cast<void*>(args.in[i]) : i == inputs_ ? args.out : workspace;
      dnnl_memory_t memory = nullptr;
      if (api.memory_create(&memory, &arguments_[i].layout, api.engine, data) != dnnl_success) return Code::out_of_memory;
      memories[i].reset(memory);
      passed[i] = {arguments_[i].name, memory};
    }
    const ScopedOmpThreads threads(api, threads_);
    const bool done =
        api.primitive_execute(primitive_.get(), api.stream, static_cast<int>(count_), passed.data()) == dnnl_success;
    return done ? Code::ok : Code::internal;
  }

 private:
  std::unique_ptr<dnnl_primitive, DestroyPrimitive> primitive_;
  std::array<Argument, kMostArguments> arguments_{};
  size_t count_;
  size_t inputs_;
  size_t workspace_;
  int threads_;
};

}  // namespace

PrimitiveDescription describe(const_dnnl_op_desc_t operation, int threads, float scale, float keep) {
  const cpu::Onednn& api = *cpu::onednn();
  dnnl_primitive_attr_t attributes = nullptr;
  if (api.attr_create(&attributes) != dnnl_success) return nullptr;
  dnnl_post_ops_t after = nullptr;
  bool fine = api.attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) == dnnl_success;
  if (scale != 1) fine = fine && api.attr_set_output_scales(attributes, 1, 0, &scale) == dnnl_success;
  if (keep != 0) {
    fine = fine && api.post_ops_create(&after) == dnnl_success && api.post_ops_append_sum(after, keep) == dnnl_success &&
           api.attr_set_post_ops(attributes, after) == dnnl_success;
  }
  dnnl_primitive_desc_t made = nullptr;
  const ScopedOmpThreads here(api, threads);
  if (fine && api.primitive_desc_create(&made, operation, attributes, api.engine, nullptr) != dnnl_success) made = nullptr;
  if (after) api.post_ops_destroy(after);
  api.attr_destroy(attributes);
  return PrimitiveDescription(made);
}

dnnl_data_type_t onednn_type(DType dtype) {
  switch (dtype) {
    case DType::f32: return dnnl_f32;
    case DType::f16: return dnnl_f16;
    case DType::bf16: return dnnl_bf16;
  }
  return dnnl_data_type_undef;
}

Result<std::unique_ptr<const Kernel>> onednn_kernel(const PrimitiveDescription& description, std::initializer_list<int> inputs,
                                                    int threads) {
  if (!description) return fail(Code::unsupported, "library onednn is not loaded or has no implementation of this problem");
  const cpu::Onednn& api = *cpu::onednn();
  std::vector<OnednnKernel::Argument> arguments;
  const auto add = [&](int name, const dnnl_memory_desc_t* layout) { arguments.push_back({name, *layout}); };
  for (const int name : inputs) add(name, api.primitive_desc_query_md(description.get(), dnnl_query_exec_arg_md, name));
  add(DNNL_ARG_DST, api.primitive_desc_query_md(description.get(), dnnl_query_exec_arg_md, DNNL_ARG_DST));
  const dnnl_memory_desc_t* scratchpad = api.primitive_desc_query_md(description.get(), dnnl_query_scratchpad_md, 0);
  const size_t workspace = api.memory_desc_get_size(scratchpad);
  if (workspace > 0) add(DNNL_ARG_SCRATCHPAD, scratchpad);
  dnnl_primitive_t primitive = nullptr;
  const ScopedOmpThreads here(api, threads);
  if (api.primitive_create(&primitive, description.get()) != dnnl_success)
    return fail(Code::internal, "oneDNN failed to create a primitive that it claims to implement");
  return std::make_unique<OnednnKernel>(primitive, arguments, inputs.size(), workspace, threads);
}

}  // namespace metallic
