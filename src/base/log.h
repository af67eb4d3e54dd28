// SPDX-License-Identifier: Apache-2.0
// A logger: messages at or above a level, one line each, to stderr or to the caller's function.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "base/process.h"

namespace metallic {

enum class LogLevel : unsigned char { trace, debug, info, warning, error };
std::string_view name(LogLevel level);
std::optional<LogLevel> parse_log_level(std::string_view text);

class Logger {
 public:
  /// Called with the level's name and the text; one call at a time, from any thread.
  using Sink = std::function<void(std::string_view level, std::string_view text)>;

  /// Without a sink, messages go to stderr as `metallic <level>: <text>`.
  explicit Logger(LogLevel least, Sink sink = {});

  bool logs(LogLevel level) const { return level >= least_; }

  /// The text is escaped and shortened to one line.
  void log(LogLevel level, std::string_view text);
  void warn(std::string_view text) { log(LogLevel::warning, text); }

 private:
  LogLevel least_;
  Sink sink_;
  ForkSafeMutex mutex_;
};

}  // namespace metallic
