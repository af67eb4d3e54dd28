// SPDX-License-Identifier: Apache-2.0
// The program `metallic`.
#include "tools/metallic/command_line.h"

int main(int argc, char** argv) { return metallic::cli::run_command_line(argc, argv); }
