#include "core/status.h"

namespace metallic {

std::string_view name(Code code) {
  switch (code) {
    case Code::ok: return "ok";
    case Code::invalid_argument: return "invalid_argument";
    case Code::not_found: return "not_found";
    case Code::unsupported: return "unsupported";
    case Code::out_of_memory: return "out_of_memory";
    case Code::io: return "io";
    case Code::internal: return "internal";
  }
  return "unknown";
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kLongest = 60;
  if (text.size() <= kLongest) return fmt::format("{:?}", text);
  return fmt::format("{:?}… ({} bytes)", text.substr(0, kLongest), text.size());
}

}  // namespace metallic
