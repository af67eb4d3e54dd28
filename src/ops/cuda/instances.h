// SPDX-License-Identifier: Apache-2.0
// Tables of kernel instances: each entry is a configuration with its kernel. Instantiation files define the tables, and a variant
// searches them when it plans.
#pragma once

#include <initializer_list>
#include <span>

namespace metallic::cuda {

/// The first instance for which `matches(instance)` is true, or null.
template <typename Instance, typename Matches>
const Instance* find_instance(std::initializer_list<std::span<const Instance>> tables, const Matches& matches) {
  for (const std::span<const Instance> table : tables)
    for (const Instance& instance : table)
      if (matches(instance)) return &instance;
  return nullptr;
}

}  // namespace metallic::cuda
