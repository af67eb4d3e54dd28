// SPDX-License-Identifier: Apache-2.0
// Progress on stderr: a bar on a terminal, a line every few seconds elsewhere.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace metallic::cli {

class Progress {
 public:
  explicit Progress(std::string title);
  ~Progress();  ///< clears the bar
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `share` is the part that is done, in [0, 1]; `what` is the current step.
  void update(double share, std::string_view what);

 private:
  using Clock = std::chrono::steady_clock;
  std::string title_;
  bool terminal_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point drawn_;
};

}  // namespace metallic::cli
