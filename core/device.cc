#include "core/device.h"

#include <fmt/format.h>

#include <algorithm>

namespace metallic {

const Library* find_library(std::span<const Library> libraries, std::string_view name) {
  const auto found = std::ranges::find(libraries, name, &Library::name);
  return found == libraries.end() ? nullptr : &*found;
}

std::string fingerprint(const DeviceFacts& facts) {
  std::string text = fmt::format("{}_{}_{}c_l1d{}k_l2-{}k_llc{}k", facts.model, facts.isa, facts.cores, facts.l1d_bytes >> 10,
                                 facts.l2_bytes >> 10, facts.llc_bytes >> 10);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    if (!kept) c = '-';
  }
  return text;
}

}  // namespace metallic
