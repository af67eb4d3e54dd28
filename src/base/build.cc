// SPDX-License-Identifier: Apache-2.0
#include "base/build.h"

namespace metallic {

#if defined(__clang__)
#define METALLIC_COMPILER "clang++ " __clang_version__
#else
#define METALLIC_COMPILER "g++ " __VERSION__
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define METALLIC_MODE "sanitised"
#elif defined(__OPTIMIZE__)
#define METALLIC_MODE "optimised"
#else
#define METALLIC_MODE "not optimised"
#endif

std::string_view build_name() { return "metallic " METALLIC_VERSION ", " METALLIC_COMPILER ", " METALLIC_MODE; }

}  // namespace metallic
