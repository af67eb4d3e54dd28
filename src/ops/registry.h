// The variant tables, one per operation, generated from the files src/ops/<op>/<backend>_<what>.cc.
#pragma once

#include <span>
#include <string_view>

#include "ops/variant.h"

namespace metallic {

/// All variants of an operation, sorted by name.
std::span<const Variant> variants(Op op);

/// The variant of that full name, or null.
const Variant* find_variant(Op op, std::string_view name);

/// Whether that is the full name of a variant that calls a library, of whatever operation.
bool calls_library(std::string_view name);

}  // namespace metallic
