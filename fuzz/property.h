// SPDX-License-Identifier: Apache-2.0
// Assertions of the fuzzers: a failed property is printed and aborts, and libFuzzer reports the input.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/status.h"

namespace metallic::fuzz {

inline void check(bool holds, const char* property, int line) {
  if (holds) return;
  std::fprintf(stderr, "line %d: does not hold: %s\n", line, property);
  std::abort();
}

/// Checks that an error message is one short line without control characters.
inline void check_message(const Error& error, int line) {
  bool printable = true;
  for (const unsigned char c : error.message) printable = printable && c >= 0x20 && c != 0x7f;
  check(printable && !error.message.empty() && error.message.size() <= 512, "the message is one short line", line);
}

}  // namespace metallic::fuzz

#define PROPERTY(condition) ::metallic::fuzz::check(condition, #condition, __LINE__)
#define ONE_LINE(result) ::metallic::fuzz::check_message((result).error(), __LINE__)

/// Each fuzzer defines this: one run on an untrusted text.
void run(std::string_view text);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  run({reinterpret_cast<const char*>(data), size});
  return 0;
}
