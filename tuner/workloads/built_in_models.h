// SPDX-License-Identifier: Apache-2.0
// Built-in models: the configurations in tuner/workloads/configs, embedded in the program by a generated table.
#pragma once

#include <span>
#include <string_view>

namespace metallic {

struct BuiltInModel {
  std::string_view name;
  std::string_view text;  ///< its config.json
};

std::span<const BuiltInModel> built_in_models();

}  // namespace metallic
