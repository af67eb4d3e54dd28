// SPDX-License-Identifier: Apache-2.0
// scale cpu_backward.
#include "testing/operations/scale/kernel.h"

namespace metallic::scale {

extern const Variant cpu_backward = variant<true>("backward");

}  // namespace metallic::scale
