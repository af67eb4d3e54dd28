// SPDX-License-Identifier: Apache-2.0
// The harness of a CUDA device: replays graphs of calls, timed by events on the device.
#include "tuner/bench/harness.h"

#ifdef METALLIC_WITH_CUDA
#include <algorithm>
#include <array>
#include <cmath>

#include "device/cuda/event.h"
#include "device/cuda/memory.h"
#include "ops/label.h"
#include "ops/operation.h"
#include "tuner/bench/cuda_roofline.h"
#include "tuner/bench/gpu_clock_monitor.h"
#include "tuner/bench/timer.h"
#include "tuner/verify/oracle.h"
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA
namespace {

constexpr double kArm = 3e-4;       // seconds: the error of events, half a microsecond, is below 0.2 % of it
constexpr int64_t kMostCalls = 64;  // of a graph, whose capture takes some µs per call
constexpr int64_t kLeastCalls = 4;

struct Destroy {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
  void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, Destroy>;
using Replay = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy>;

// The time between two events on the device.
class Interval {
 public:
  static Result<Interval> create() {
    Interval made;
    METALLIC_TRY(made.begin_, Event::create());
    METALLIC_TRY(made.end_, Event::create());
    return made;
  }
  // The events are nodes of the captured graph, so the time excludes the graph's launch.
  Status begin(cudaStream_t stream) {
    METALLIC_CUDA(cudaEventRecordWithFlags(begin_.get(), stream, cudaEventRecordExternal));
    return {};
  }
  Status end(cudaStream_t stream) {
    METALLIC_CUDA(cudaEventRecordWithFlags(end_.get(), stream, cudaEventRecordExternal));
    return {};
  }
  Result<double> seconds() {
    float ms = 0;
    METALLIC_CUDA(cudaEventElapsedTime(&ms, begin_.get(), end_.get()));
    return ms * 1e-3;
  }

 private:
  Interval() = default;
  Event begin_, end_;
};

// The output's initial contents, as in prepare_output, for a run that reads it; empty for others.
std::vector<std::byte> read_output(const Problem& problem, const Args& args, uint64_t seed) {
  return problem.op()->reads_output(problem) ? prepare_output(problem, args, seed) : std::vector<std::byte>();
}

// Operands have the same layout in device memory as in a host copy, which the oracle reads.
class CudaHarness final : public Harness {
 public:
  CudaHarness(Operands operands, Memory memory, Memory flush, Interval interval, const DeviceInfo& device, Executor& executor,
              const HarnessOptions& options)
      : device_(device),
        operands_(std::move(operands)),
        memory_(std::move(memory)),
        flush_(std::move(flush)),
        interval_(std::move(interval)),
        executor_(executor),
        stream_(static_cast<cudaStream_t>(executor.stream())),
        seed_(options.seed),
        min_sample_s_(options.min_sample_s > 0 ? options.min_sample_s : kArm),
        clock_monitor_(device) {
    // Copies to pinned memory are ten times as fast. If pinning fails, pageable memory works too.
    pinned_ = cudaHostRegister(operands_.memory().data(), operands_.memory().size(), cudaHostRegisterDefault) == cudaSuccess;
    cudaGetLastError();
  }

  ~CudaHarness() override {
    if (pinned_) cudaHostUnregister(operands_.memory().data());
  }

  void align(uint64_t drawn) override { operands_.align(drawn); }
  void before_block() override {}
  NoiseRecord noise() const override { return clock_monitor_.record(); }

  Result<double> checked_call(const Problem& problem, Cache cache, const Kernel& kernel, std::string_view who) override {
    const Args here = operands_.next(problem, cache), there = on_device(here);
    const std::vector<std::byte> before = read_output(problem, here, seed_ + 2);
    const auto bytes = static_cast<size_t>(operand_bytes(problem)[kOut]);
    if (before.empty()) {
      METALLIC_CUDA(cudaMemsetAsync(there.out, 0xff, bytes, stream_));  // NaN in every type
    } else {
      METALLIC_CUDA(cudaMemcpyAsync(there.out, here.out, bytes, cudaMemcpyHostToDevice, stream_));
    }
    if (const Code code = kernel.run(there, workspace(), executor_); code != Code::ok)
      return fail(code, "{} on {} failed: {}", who, label(problem), name(code));
    METALLIC_CUDA(cudaMemcpyAsync(here.out, there.out, bytes, cudaMemcpyDeviceToHost, stream_));
    if (const cudaError_t error = cudaStreamSynchronize(stream_); error != cudaSuccess)
      return fail(code_of(error), "{} on {} failed: {}", who, label(problem), cudaGetErrorString(error));
    if (const auto wrong = first_difference(problem, here, before.data(), affordable_checks(problem), seed_))
      return fail(Code::internal, "{} computes {} wrongly: {}", who, label(problem), *wrong);
    METALLIC_TRY(const auto timed, replayed(problem, cache, kernel, kLeastCalls));
    return timed;
  }

  Result<std::pair<double, int64_t>> time(const Problem& problem, Cache cache, const Kernel& kernel, double call_s) override {
    const auto calls = std::clamp(static_cast<int64_t>(std::ceil(min_sample_s_ / call_s)), kLeastCalls, kMostCalls);
    METALLIC_TRY(const double seconds, replayed(problem, cache, kernel, calls));
    return std::pair(seconds, calls);
  }

  // The median of several samples, as for the candidates.
  Result<std::optional<double>> roofline_s(const Problem& problem, Cache cache) override {
    const auto kernel = mover(problem, device_);
    std::array<double, 9> seconds;
    METALLIC_TRY(double call_s, replayed(problem, cache, *kernel, kLeastCalls));
    for (double& each : seconds) {
      align(seed_ + static_cast<uint64_t>(&each - seconds.data()));
      METALLIC_TRY(const auto timed, time(problem, cache, *kernel, call_s));
      each = timed.first;
    }
    std::ranges::sort(seconds);
    return seconds[seconds.size() / 2];
  }

 private:
  Args on_device(const Args& here) const {
    const auto device_pointer = [&](const void* at) -> std::byte* {
      return memory_.data() + (static_cast<const std::byte*>(at) - operands_.memory().data());
    };
    return {.in = {device_pointer(here.in[0]), device_pointer(here.in[1]), device_pointer(here.in[2])},
            .out = device_pointer(here.out)};
  }
  std::byte* workspace() const { return memory_.data() + (operands_.workspace() - operands_.memory().data()); }

  // Seconds per call, from a graph of `calls` calls that is replayed twice: the first time uploads it and warms up clocks and
  // TLBs. Cold: the L2 cache is flushed before, and each call reads other memory.
  Result<double> replayed(const Problem& problem, Cache cache, const Kernel& kernel, int64_t calls) {
    cudaGraph_t captured = nullptr;
    METALLIC_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    Status begun = interval_.begin(stream_);
    Code code = Code::ok;
    for (int64_t i = 0; i < calls && code == Code::ok; ++i)
      code = kernel.run(on_device(operands_.next(problem, cache)), workspace(), executor_);
    Status ended = interval_.end(stream_);
    METALLIC_CUDA(cudaStreamEndCapture(stream_, &captured));
    const Graph graph(captured);
    METALLIC_CHECK(begun);
    METALLIC_CHECK(ended);
    if (code != Code::ok) return fail(code, "{} cannot be captured: {}", label(problem), name(code));
    cudaGraphExec_t instance = nullptr;
    METALLIC_CUDA(cudaGraphInstantiate(&instance, graph.get(), 0));
    const Replay replay(instance);
    METALLIC_CUDA(cudaGraphLaunch(replay.get(), stream_));
    if (cache == Cache::cold) {
      METALLIC_CUDA(cudaMemsetAsync(flush_.data(), 1, flush_.bytes(), stream_));
    }
    METALLIC_CUDA(cudaGraphLaunch(replay.get(), stream_));
    clock_monitor_.sample();
    METALLIC_CUDA(cudaStreamSynchronize(stream_));
    METALLIC_TRY(const double seconds, interval_.seconds());
    return std::max(seconds, 1e-9) / static_cast<double>(calls);
  }

  DeviceInfo device_;
  Operands operands_;
  Memory memory_, flush_;
  Interval interval_;
  Executor& executor_;
  cudaStream_t stream_;
  uint64_t seed_;
  double min_sample_s_;
  bool pinned_;
  GpuClockMonitor clock_monitor_;
};

}  // namespace

Result<std::unique_ptr<Harness>> make_harness(std::span<const OperandUse> uses, const DeviceInfo& device, Executor& executor,
                                              const HarnessOptions& options) {
  // Twice the L2 cache: read between two uses of the same memory, and flushed before the first.
  const int64_t cold_bytes = 2 * device.cuda().l2_bytes / 4096 * 4096 + 4096;
  METALLIC_TRY(Operands operands, Operands::create(uses, device, cold_bytes, options.seed));
  METALLIC_TRY(Memory memory, Memory::allocate(operands.memory().size()));
  METALLIC_TRY(Memory flush, Memory::allocate(static_cast<size_t>(cold_bytes)));
  METALLIC_TRY(Interval interval, Interval::create());
  METALLIC_CUDA(cudaMemcpy(memory.data(), operands.memory().data(), memory.bytes(), cudaMemcpyHostToDevice));
  return std::make_unique<CudaHarness>(std::move(operands), std::move(memory), std::move(flush), std::move(interval), device,
                                       executor, options);
}

#else

Result<std::unique_ptr<Harness>> make_harness(std::span<const OperandUse>, const DeviceInfo& device, Executor&,
                                              const HarnessOptions&) {
  return fail(Code::unsupported, "device {}: this build has no CUDA (nvcc was not found)", in_quotes(device.id));
}

#endif

}  // namespace metallic::cuda
