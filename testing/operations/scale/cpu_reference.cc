// SPDX-License-Identifier: Apache-2.0
// scale cpu_reference.
#include "testing/operations/scale/kernel.h"

namespace metallic::scale {

extern const Variant cpu_reference = variant<false>("reference");

}  // namespace metallic::scale
