// SPDX-License-Identifier: Apache-2.0
// Which build of the library this is.
#pragma once

#include <string_view>

namespace metallic {

/// Version, compiler and mode on one line, e.g. "metallic 0.1.0, g++ 12.2.0, optimised".
std::string_view build_name();

}  // namespace metallic
