// SPDX-License-Identifier: Apache-2.0
#include "ops/decision.h"

namespace metallic {

std::string_view name(Source source) {
  switch (source) {
    case Source::environment: return "environment";
    case Source::options: return "options";
    case Source::caller: return "caller";
    case Source::user: return "user";
    case Source::device: return "device";
    case Source::family: return "family";
    case Source::defaults: return "default";
  }
  return "unknown";
}

}  // namespace metallic
