// SPDX-License-Identifier: Apache-2.0
// Exit codes of the program.
#pragma once

namespace metallic::cli {

/// Bad usage and bad input (2) are errors that a command returns, not values that it chooses.
enum class Exit : int {
  done = 0,
  check_failed = 1,
  bad_input = 2,
  inconclusive = 3,   ///< measured, but not well enough to decide or to install
  interrupted = 130,  ///< by Ctrl-C, as shells report it
};

}  // namespace metallic::cli
