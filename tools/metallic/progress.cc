// SPDX-License-Identifier: Apache-2.0
// Draws the bar, or prints lines.
#include "tools/metallic/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace metallic::cli {

Progress::Progress(std::string title) : title_(std::move(title)), terminal_(isatty(STDERR_FILENO) == 1), drawn_(begin_) {}

Progress::~Progress() {
  if (terminal_) fmt::print(stderr, "\r\033[K");
}

void Progress::update(double share, std::string_view what) {
  const auto now = Clock::now();
  // Rarely: drawing disturbs measurements, and logs should be short.
  if (now - drawn_ < (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(5))) return;
  drawn_ = now;
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  if (!terminal_) {
    fmt::print(stderr, "{}: {:.0f} % after {:.0f} s: {}\n", title_, share * 100, seconds, what);
    return;
  }
  constexpr int kWidth = 24;
  const int full = static_cast<int>(share * kWidth);
  std::string bar;
  for (int i = 0; i < kWidth; ++i) bar += i < full ? "█" : "░";
  fmt::print(stderr, "\r\033[K{} {} {:3.0f} %  {:.0f} s  {}", title_, bar, share * 100, seconds, what.substr(0, 60));
  std::fflush(stderr);
}

}  // namespace metallic::cli
