// Cold: how many bytes must stream by before memory is really read, whatever a virtual machine says of its caches.
#pragma once

#include <cstdint>
#include <functional>

#include "device/info.h"
#include "base/executor.h"

namespace metallic {

struct ColdBytes {
  int64_t bytes = 0;  ///< operands that rotate through so many are cold at each use
  bool confirmed =
      false;  ///< reading so many over and over was seen to be as slow as memory; false where that was too many to try
};

/// The pure decision. Each call takes one reading, in seconds, of streaming that many bytes: `again` of those that were read
/// last, `fresh` of others, read long ago. (Twice as many bytes would not do for a comparison: both may lie in a cache that the
/// device do not know.) From `least`, sizes double until reading again is at most 10 % faster, by the medians of three readings
/// each; a size is decided by two such comparisons that agree, of at most three, so that no burst of noise doubles it or ends the
/// search too soon. No size above `most` / 2 is tried; the result is at most `most`.
ColdBytes cold_bytes(int64_t least, int64_t most, const std::function<double(int64_t bytes)>& again,
                     const std::function<double(int64_t bytes)>& fresh);

/// The same by measurement: from twice the last-level cache that the device name, at least 16 MiB, up to 1 GiB or a tenth of the
/// memory. Costs the first touch of 256 MiB and, where the device are right, eighteen passes over `bytes`. Throws std::bad_alloc.
ColdBytes measure_cold_bytes(const DeviceInfo& device, Executor& executor);

}  // namespace metallic
