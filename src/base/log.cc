// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <mutex>
#include <utility>

#include "base/status.h"

namespace metallic {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"trace", "debug", "info", "warning", "error"};

}  // namespace

std::string_view name(LogLevel level) { return kNames[static_cast<size_t>(level)]; }

std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (text == kNames[i]) return static_cast<LogLevel>(i);
  return std::nullopt;
}

Logger::Logger(LogLevel least, Sink sink) : least_(least), sink_(std::move(sink)) {}

void Logger::log(LogLevel level, std::string_view text) {
  if (!logs(level)) return;
  const std::string line = one_line(text);
  const std::lock_guard lock(mutex_);
  if (sink_)
    sink_(name(level), line);
  else
    fmt::print(stderr, "metallic {}: {}\n", name(level), line);
}

}  // namespace metallic
