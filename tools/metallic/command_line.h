// SPDX-License-Identifier: Apache-2.0
// The command line of `metallic`.
#pragma once

namespace metallic::cli {

/// Runs one subcommand and prints errors on one line. Gives the exit code.
int run_command_line(int argc, char** argv);

}  // namespace metallic::cli
