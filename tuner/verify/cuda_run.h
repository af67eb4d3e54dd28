// SPDX-License-Identifier: Apache-2.0
// Runs a kernel on a CUDA device with operands in host memory: copies them there, and the result back.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "base/executor.h"
#include "ops/variant.h"

namespace metallic::validation {

/// Runs the kernel on copies of the operands. Each copy has the original's offset from a multiple of 16 bytes, and ends with its
/// allocation, so compute-sanitizer sees every access beyond it. in[0] == out is a run in place. Returns what failed, or nothing:
/// a CUDA error, or a write beyond the workspace.
std::optional<std::string> run_on_device(const Kernel& kernel, const Args& args, const std::array<int64_t, 4>& bytes,
                                         Executor& executor);

}  // namespace metallic::validation
