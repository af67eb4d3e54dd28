// SPDX-License-Identifier: Apache-2.0
// The registry: all operations and their variants, from tables generated from the folders under src/ops.
#pragma once

#include <span>
#include <string_view>

#include "base/status.h"
#include "ops/shape.h"
#include "ops/variant.h"

namespace metallic {

/// All operations, by order.
std::span<const Op> operations();

/// The operation of that name. Errors name all operations.
Result<Op> parse_op(std::string_view text);

/// All variants of an operation, sorted by name.
std::span<const Variant> variants(Op op);

/// The variant of that full name, or null.
const Variant* find_variant(Op op, std::string_view name);

/// Whether this is the full name of a variant, of any operation, that calls a library.
bool calls_library(std::string_view name);

}  // namespace metallic
