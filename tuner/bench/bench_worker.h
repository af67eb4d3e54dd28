// Arms on request: a program that times its own kernels when another one asks, so that two builds can take turns.
//
// Requests and answers are JSON objects, one a line:
//   {"ask": "hello"}                                             → {"protocol": 2, "build": …, "device": …, "threads": …}
//   {"ask": "choose", "label": …, "dtype": …[, "variant": …, "tuning": …]}
//                                                                → {"variant": …, "tuning": …}: the given ones where this build
//                                                                  has them and they can run the problem, else its own choice
//   {"ask": "open", "seed": …[, "memory": 3], "arms": [{"label": …, "dtype": …, "variant": …, "tuning": …, "cache": "warm"}, …]}
//                                                                → {"arms": how many}: operands are made, in the
//                                                                  file of that descriptor if given, results checked
//   {"ask": "time", "arm": its number from 0, "seconds": …, "place": …}
//                                                                → {"time_ns": of one call, "iterations": …, "place": …}: where
//                                                                cold
//                                                                  operands go on in the memory, in bytes
// {"error": …} stands in place of an answer; the end of the input ends the program.
#pragma once

#include <iosfwd>
#include <memory>
#include <utility>

#include "device/info.h"
#include "base/executor.h"
#include "base/status.h"
#include "ops/variant.h"

namespace metallic {

inline constexpr int kBenchProtocol = 2;

/// The descriptor at which a program that is asked for arms finds memory to share.
inline constexpr int kSharedMemoryFd = 3;

/// Who decides and prepares: the dispatcher, which this folder does not know.
class KernelSource {
 public:
  virtual ~KernelSource() = default;
  virtual Result<std::pair<const Variant*, Tuning>> choose(const Problem& problem) = 0;
  virtual Result<std::unique_ptr<const Kernel>> prepare(const Problem& problem, const Variant& variant, const Tuning& tuning) = 0;
};

/// Answers requests until `in` ends. All threads of this process sleep when an answer to "time" is given.
void run_bench_worker(std::istream& in, std::ostream& out, const DeviceFacts& facts, Executor& executor, KernelSource& source);

}  // namespace metallic
