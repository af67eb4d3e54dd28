// SPDX-License-Identifier: Apache-2.0
// Defines the shared options and parses their values.
#include "tools/metallic/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>

#include "base/status.h"

namespace metallic::cli {

CLI::Option* add_shape_options(CLI::App& command, ProblemOptions& options) {
  command.add_option("--dtype", options.dtypes, "element types, e.g. f32,bf16 [f32]")->delimiter(',')->type_name("DTYPE");
  return command
      .add_option("--shapes", options.shapes, "labels, ranges allowed (rows64_seqk64..8192), or files with a label on each line")
      ->type_name("LABEL");
}

void add_problem_options(CLI::App& command, ProblemOptions& options) {
  command.add_option("--op", options.ops, "only these operations, e.g. softmax,matmul [all]")->delimiter(',')->type_name("OP");
  auto* model = command
                    .add_option("--model", options.model,
                                "shapes of this model: a name (see metallic models) or the path of a config.json [llama-3.1-8b]")
                    ->type_name("MODEL");
  add_shape_options(command, options)->excludes(model);
}

void add_budget_option(CLI::App& command, SampleOptions& options) {
  command
      .add_option_function<std::string>(
          "--budget",
          [&options](const std::string& text) {
            std::string number = text;
            double scale = 1;
            if (number.ends_with("min"))
              number.resize(number.size() - 3), scale = 60;
            else if (number.ends_with("s"))
              number.resize(number.size() - 1);
            double value = 0;
            if (!CLI::detail::lexical_cast(number, value) || !(value > 0) || value * scale > 86400)
              throw CLI::ValidationError("--budget", in_quotes(text) + " is not a time such as 60s or 5min");
            options.budget_s = value * scale;
          },
          fmt::format("how long to measure, e.g. 60s or 5min; stops early once enough is known [{:.0f}s]", options.budget_s))
      ->type_name("TIME");
}

void add_seed_option(CLI::App& command, SampleOptions& options) {
  // Parsed here: files store seeds as signed numbers, and CLI11 would accept -1 and 99999999999999999999.
  command
      .add_option_function<std::string>(
          "--seed",
          [&options](const std::string& text) {
            int64_t seed = 0;
            const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), seed);
            if (status != std::errc() || stop != text.data() + text.size() || seed < 0)
              throw CLI::ValidationError("--seed", in_quotes(text) + " is not a whole number from 0 to 2^63 - 1");
            options.seed = static_cast<uint64_t>(seed);
          },
          "seed of inputs and orders; 0: from the clock [0]")
      ->type_name("UINT");
}

void add_cache_option(CLI::App& command, SampleOptions& options) {
  command
      .add_option("--cache", options.caches, "warm, cold or both [softmax: both; weights of a matmul, K and V of an sdpa: cold]")
      ->delimiter(',')
      ->check(CLI::IsMember({"warm", "cold"}));
}

void add_sample_options(CLI::App& command, SampleOptions& options) {
  add_budget_option(command, options);
  add_seed_option(command, options);
  add_cache_option(command, options);
  command.add_flag("--peers", options.peers, "time this machine's libraries too (see metallic devices)");
}

CLI::Option* add_device_option(CLI::App& command, std::string& device) {
  return command.add_option("--device", device, "the device to use (see metallic devices)")
      ->type_name("DEVICE")
      ->capture_default_str();
}

CLI::Option* add_out_option(CLI::App& command, std::string& out) {
  return command.add_option("--out", out, "write the samples to this file, and device.json beside it")->type_name("FILE");
}

void draw_seed(SampleOptions& options) {
  if (options.seed == 0) options.seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) >> 1;
}

}  // namespace metallic::cli
