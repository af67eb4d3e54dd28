// SPDX-License-Identifier: Apache-2.0
// Cold caches: how many bytes operands must rotate through to be read from memory, measured because virtual machines misreport
// their caches.
#pragma once

#include <cstdint>
#include <functional>

#include "base/executor.h"
#include "device/info.h"

namespace metallic {

struct ColdBytes {
  int64_t bytes = 0;  ///< operands that rotate through this many bytes are cold at each use
  bool confirmed =
      false;  ///< whether reading them again was measured to be as slow as memory; false if no size within the limit was
};

/// The search, without the measuring. `again(bytes)` and `fresh(bytes)` return the seconds of streaming that many bytes: the
/// bytes that were read last, and bytes read long ago. Sizes double from `least` until reading again is at most 10 % faster, by
/// the medians of three readings each. Two of at most three comparisons must agree on a size, so that a burst of noise neither
/// doubles it nor ends the search too early. No size above `most` / 2 is tried; the result is at most `most`.
ColdBytes cold_bytes(int64_t least, int64_t most, const std::function<double(int64_t bytes)>& again,
                     const std::function<double(int64_t bytes)>& fresh);

/// Searches by measuring, from twice the reported last-level cache, at least 16 MiB, up to 1 GiB or a tenth of the memory.
/// Touches 256 MiB and, if the reported size is right, makes eighteen passes over the result's bytes. Throws std::bad_alloc.
ColdBytes measure_cold_bytes(const DeviceInfo& device, Executor& executor);

}  // namespace metallic
