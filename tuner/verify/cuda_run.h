// A run on a CUDA device of operands that lie in this process' memory: they are copied there and the result back.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "base/executor.h"
#include "ops/variant.h"

namespace metallic::validation {

/// Runs the kernel on copies of the operands, each at the same place within 16 bytes and at the end of its allocation, so that
/// compute-sanitizer sees every byte read or written beyond; in[0] == out is a run in place. Says what went wrong, or nothing: an
/// error, a byte written beside the workspace.
std::optional<std::string> run_on_device(const Kernel& kernel, const Args& args, const std::array<int64_t, 4>& bytes,
                                         Executor& executor);

}  // namespace metallic::validation
