// SPDX-License-Identifier: Apache-2.0
// metallic list and metallic models: variants with their tunings, and model configurations.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ops/label.h"
#include "ops/registry.h"
#include "tools/metallic/command.h"
#include "tools/metallic/inputs.h"

namespace metallic::cli {
namespace {

struct ListOptions {
  std::string op;
  bool json = false;
};

Result<Exit> list(const ListOptions& options) {
  auto json = Json::array();
  for (const Op op : operations()) {
    if (!options.op.empty()) {
      METALLIC_TRY(const Op wanted, parse_op(options.op));
      if (op != wanted) continue;
    }
    for (const Variant& variant : variants(op)) {
      auto tunings = Json::array();
      std::string text;
      for (const Tuning& tuning : variant.tunings) {
        tunings.push_back(to_string(tuning));
        text += (text.empty() ? "" : "  ") + to_string(tuning);
      }
      json.push_back({{"op", name(op)},
                      {"variant", variant.name},
                      {"backend", variant.backend()},
                      {"family", variant.family},
                      {"tunings", tunings}});
      if (!options.json) fmt::print("{:<8} {:<14} {}\n", name(op), variant.name, text);
    }
  }
  if (options.json) fmt::print("{}\n", json.dump(2));
  return Exit::done;
}

struct ModelOptions {
  std::string model;
  bool json = false;
};

Result<Exit> models(const ModelOptions& options) {
  if (options.model.empty()) {
    const auto names = model_names();
    if (options.json)
      fmt::print("{}\n", Json(names).dump(2));
    else
      fmt::print("{}\n", fmt::join(names, "\n"));
    return Exit::done;
  }
  METALLIC_TRY(const ModelConfig model, find_model(options.model));
  print_left_out(model);
  auto json = Json::array();
  for (const auto& [problem, weight, typed, role] : model_problems(model)) {
    if (options.json)
      json.push_back({{"op", name(problem.op())}, {"label", label(problem)}, {"weight", weight}, {"role", role}});
    else
      fmt::print("{:<36} {:<8.4g} # {}\n", label(problem), weight, role);
  }
  if (options.json) fmt::print("{}\n", json.dump(2));
  return Exit::done;
}

}  // namespace

void add_list(CLI::App& app, Action& action) {
  add_command<ListOptions>(
      app, action, "list", "list the variants and their tunings",
      [](const Command& command, ListOptions& options) {
        command.option("--op", options.op, "only this operation: softmax, matmul or sdpa").type("OP");
        command.flag("--json", options.json, "print JSON");
      },
      list);
}

void add_models(CLI::App& app, Action& action) {
  add_command<ModelOptions>(
      app, action, "models", "list the built-in models, or the problems of a model in the format of --shapes",
      [](const Command& command, ModelOptions& options) {
        command.option("model", options.model, "name of a model, or path of a config.json or its folder").type("MODEL");
        command.flag("--json", options.json, "print JSON");
      },
      models);
}

}  // namespace metallic::cli
