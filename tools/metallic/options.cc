// SPDX-License-Identifier: Apache-2.0
// Defines the shared options and parses their values.
#include "tools/metallic/options.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <optional>

#include "base/status.h"

namespace metallic::cli {

Option add_shape_options(const Command& command, ProblemOptions& options, std::string_view usual_types) {
  command.option("--dtype", options.dtypes, fmt::format("element types, e.g. f32,bf16 [{}]", usual_types))
      .split_at(',')
      .type("DTYPE");
  return command
      .option("--shapes", options.shapes, "labels, ranges allowed (rows64_seqk64..8192), or files with a label on each line")
      .type("LABEL");
}

void add_problem_options(const Command& command, ProblemOptions& options, std::string_view usual_types) {
  command.option("--op", options.ops, "only these operations, e.g. softmax,matmul [all]").split_at(',').type("OP");
  const Option model =
      command
          .option("--model", options.model,
                  "shapes of this model: a name (see metallic models) or the path of a config.json or its folder [llama-3.1-8b]")
          .type("MODEL");
  add_shape_options(command, options, usual_types).excludes(model);
}

void add_budget_option(const Command& command, SampleOptions& options) {
  command
      .option(
          "--budget",
          [&options](const std::string& text) -> std::optional<std::string> {
            double value = 0;
            const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), value);
            const std::string_view unit(stop, text.data() + text.size());
            if (unit == "min") value *= 60;
            if (status != std::errc() || (unit != "" && unit != "s" && unit != "min") || !(value > 0) || value > 86400)
              return in_quotes(text) + " is not a time such as 60s or 5min";
            options.budget_s = value;
            return std::nullopt;
          },
          fmt::format("how long to measure, e.g. 60s or 5min; stops early once enough is known [{:.0f}s]", options.budget_s))
      .type("TIME");
}

void add_seed_option(const Command& command, SampleOptions& options) {
  // Files store seeds as signed numbers, and CLI11 would accept -1 and 99999999999999999999 for an unsigned one.
  command
      .option(
          "--seed",
          [&options](const std::string& text) -> std::optional<std::string> {
            int64_t seed = 0;
            const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), seed);
            if (status != std::errc() || stop != text.data() + text.size() || seed < 0)
              return in_quotes(text) + " is not a whole number from 0 to 2^63 - 1";
            options.seed = static_cast<uint64_t>(seed);
            return std::nullopt;
          },
          "seed of inputs and orders; 0: from the clock [0]")
      .type("UINT");
}

void add_cache_option(const Command& command, SampleOptions& options) {
  command.option("--cache", options.caches, "warm, cold or both [softmax: both; weights of a matmul, K and V of an sdpa: cold]")
      .split_at(',')
      .one_of({"warm", "cold"});
}

void add_sample_options(const Command& command, SampleOptions& options) {
  add_budget_option(command, options);
  add_seed_option(command, options);
  add_cache_option(command, options);
  command.flag("--peers", options.peers, "time this machine's libraries too (see metallic devices)");
}

Option add_device_option(const Command& command, std::string& device) {
  return command.option("--device", device, "the device to use (see metallic devices)").type("DEVICE").show_default();
}

Option add_out_option(const Command& command, std::string& out) {
  return command.option("--out", out, "write the samples to this file, and device.json beside it").type("FILE");
}

void draw_seed(SampleOptions& options) {
  if (options.seed == 0) options.seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) >> 1;
}

}  // namespace metallic::cli
