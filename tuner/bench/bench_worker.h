// SPDX-License-Identifier: Apache-2.0
// Bench worker: times its own kernels on request, so that a client can time two builds in turn.
//
// Requests and answers are JSON objects, one a line. A request has "ask"; an answer has "error" instead if it failed. The worker
// ends at the end of its input.
//
//   {"ask": "hello"}
//     → {"protocol": 2, "build": …, "device": …, "threads": …}
//
//   {"ask": "choose", "label": …, "dtype": …[, "variant": …, "tuning": …]}
//     → {"variant": …, "tuning": …}
//     The given kernel if this build has it and it can run the problem, else the one that the worker chooses.
//
//   {"ask": "open", "seed": …[, "memory": 3], "arms": [{"label": …, "dtype": …, "variant": …, "tuning": …, "cache": "warm"}, …]}
//     → {"arms": count}
//     Prepares these kernels: fills the operands, in the file of descriptor `memory` if given, and checks each result.
//
//   {"ask": "time", "arm": index from 0, "seconds": …, "place": …}
//     → {"time_ns": of one call, "iterations": …, "place": …}
//     `place` is the position of cold operands in the memory, in bytes: the client passes each answer's on to the next request.
#pragma once

#include <iosfwd>
#include <memory>
#include <utility>

#include "base/executor.h"
#include "base/status.h"
#include "device/info.h"
#include "ops/variant.h"

namespace metallic {

inline constexpr int kBenchProtocol = 2;

/// The descriptor of the shared memory in a worker.
inline constexpr int kSharedMemoryFd = 3;

/// Chooses and prepares kernels. The program implements it with the dispatcher, which this folder may not include.
class KernelSource {
 public:
  virtual ~KernelSource() = default;
  virtual Result<std::pair<const Variant*, Tuning>> choose(const Problem& problem) = 0;
  virtual Result<std::unique_ptr<const Kernel>> prepare(const Problem& problem, const Variant& variant, const Tuning& tuning) = 0;
};

/// Answers requests until `in` ends. All other threads of this process sleep before it answers "time".
void run_bench_worker(std::istream& in, std::ostream& out, const DeviceInfo& device, Executor& executor, KernelSource& source);

}  // namespace metallic
