// SPDX-License-Identifier: Apache-2.0
// Options that several subcommands share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/metallic/command.h"

namespace metallic::cli {

/// --op, --shapes, --model and --dtype.
struct ProblemOptions {
  std::vector<std::string> ops;  ///< empty: all
  std::vector<std::string> shapes;
  std::string model;
  std::vector<std::string> dtypes;  ///< empty: f32, or what the command says
};

/// --budget, --seed, --cache and --peers.
struct SampleOptions {
  double budget_s = 60;
  uint64_t seed = 0;  ///< 0: `draw_seed` sets one from the clock
  std::vector<std::string> caches;
  bool peers = false;      ///< time the libraries too
  bool rooflines = false;  ///< time moving the operands too, after the candidates
};

/// `usual_types` is what the help says about a missing --dtype.
void add_problem_options(const Command& command, ProblemOptions& options, std::string_view usual_types = "f32");
/// --shapes and --dtype only; returns --shapes.
Option add_shape_options(const Command& command, ProblemOptions& options, std::string_view usual_types = "f32");

void add_sample_options(const Command& command, SampleOptions& options);
void add_budget_option(const Command& command, SampleOptions& options);
void add_seed_option(const Command& command, SampleOptions& options);
void add_cache_option(const Command& command, SampleOptions& options);

Option add_device_option(const Command& command, std::string& device);
Option add_out_option(const Command& command, std::string& out);

/// Sets a seed from the clock if none was given. Files name the seed that was used.
void draw_seed(SampleOptions& options);

}  // namespace metallic::cli
