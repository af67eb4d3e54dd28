// SPDX-License-Identifier: Apache-2.0
// AMX: whether this machine has tiles of bf16, and the kernel's permission to use them.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"

namespace metallic::cpu {

/// Whether this process could have AMX: the CPU has tiles as large as our kernels use them, and Linux grants their registers on
/// request. Asks for nothing.
bool has_amx();

/// Asks Linux for the tile registers, once for all threads of the process and its later children. It lasts until the process
/// ends, and from then on each alternate signal stack must have room for 8 KiB of tiles, so ask only if a kernel needs them. An
/// error if Linux says no.
Status request_amx();

/// Why Linux said no to this process, or nothing if it was not asked or said yes. An answer is kept: the same problem gets the
/// same kernel again.
std::optional<std::string> amx_refusal();

}  // namespace metallic::cpu
