// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

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

std::string one_line(std::string_view text) {
  constexpr size_t kLongest = 480;
  const auto continues = [](char byte) { return (byte & 0xC0) == 0x80; };  // within a UTF-8 sequence
  std::string line;
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    for (end = begin + 1; end < text.size() && continues(text[end]);) ++end;
    const std::string_view character = text.substr(begin, end - begin);
    if (character == "\"" || character == "\\") {
      line += character;
    } else {
      const std::string quoted = fmt::format("{:?}", character);
      line.append(quoted, 1, quoted.size() - 2);
    }
  }
  if (line.size() <= kLongest) return line;
  // Both ends matter: a message begins with where and ends with what would be right.
  constexpr std::string_view kGap = " … ";
  size_t head = (kLongest - kGap.size()) / 2, tail = line.size() - head;
  while (continues(line[head])) --head;
  while (continues(line[tail])) ++tail;
  return fmt::format("{}{}{}", line.substr(0, head), kGap, line.substr(tail));
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kLongest = 60;
  if (text.size() <= kLongest) return fmt::format("{:?}", text);
  return fmt::format("{:?}… ({} bytes)", text.substr(0, kLongest), text.size());
}

}  // namespace metallic
