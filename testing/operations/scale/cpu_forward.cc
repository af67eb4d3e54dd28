// SPDX-License-Identifier: Apache-2.0
// scale cpu_forward.
#include "testing/operations/scale/kernel.h"

namespace metallic::scale {

extern const Variant cpu_forward = variant<false>("forward");

}  // namespace metallic::scale
