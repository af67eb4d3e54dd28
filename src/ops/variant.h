// SPDX-License-Identifier: Apache-2.0
// A variant: one way to run an operation. Each is defined in one file under src/ops/<op>/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/executor.h"
#include "base/status.h"
#include "device/info.h"
#include "ops/problem.h"
#include "ops/tuning.h"

namespace metallic {

class Planner;

/// The operands of a run. softmax: in[0] → out; matmul: in[0] = A, in[1] = B → out = C; sdpa: in = Q, K, V → out.
/// Softmax may run in place (in[0] == out with equal types and strides); otherwise out overlaps no input.
struct Args {
  const void* in[3] = {};
  void* out = nullptr;
};

/// A variant prepared for one problem: descriptors, tables, sub-plans, the function for the device's ISA.
class Kernel {
 public:
  virtual ~Kernel() = default;

  /// Bytes of scratch memory that `run` needs, exact; the caller aligns it to 64.
  virtual size_t workspace() const { return 0; }

  /// Computes the problem. Allocates nothing, takes no lock, builds no string. Several threads may call it at once with different
  /// workspaces.
  virtual Code run(const Args& args, std::byte* workspace, Executor& executor) const = 0;
};

struct Variant {
  /// `<backend>_<what>`, e.g. "cpu_vec": the name of its file, filled in by the generated table.
  std::string_view name{};

  /// The group of interchangeable variants: vec, block, gemv, gemm, decode, flash. "reference" is never timed; "library" is
  /// third-party code that runs on its own threads.
  std::string_view family;

  /// All points worth measuring; at least one.
  std::span<const Tuning> tunings;

  /// Why this point cannot compute the problem on the device, or nothing. It concerns correctness: nothing overrides it.
  std::optional<std::string> (*rejects)(const Problem&, const Tuning&, const DeviceInfo&);

  /// The default tuning, used if no measurement says otherwise. Returns one of `tunings` itself, since every choice calls it.
  const Tuning& (*prefer)(const Problem&, const DeviceInfo&);

  /// Makes the kernel for a problem that is not rejected. May allocate, and may request plans of parts from the planner. If it
  /// fails because the system denies something, `rejects` says so from then on, and another variant is chosen.
  Result<std::unique_ptr<const Kernel>> (*prepare)(const Problem&, const Tuning&, const DeviceInfo&, Planner&);

  /// Identifies the order in which the terms of a result are summed. Equal ids mean equal bits, whatever the number of rows,
  /// columns or threads. Nothing if the order depends on those.
  std::optional<std::string> (*reduction_id)(const Problem&, const Tuning&, const DeviceInfo&);

  std::string_view backend() const { return name.substr(0, name.find('_')); }

  /// The name of the library that it calls, e.g. "openblas" for cpu_openblas; empty for our own code.
  std::string_view library() const { return family == "library" ? name.substr(name.find('_') + 1) : std::string_view(); }
};

/// `cpu_block@segment=4096;unroll=4`, or the bare name if there is nothing to tune.
std::string to_string(const Variant& variant, const Tuning& tuning);

/// The point that prints as `text`, if the variant has it.
std::optional<Tuning> find_tuning(const Variant& variant, std::string_view text);

}  // namespace metallic
