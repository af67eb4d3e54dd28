// The configurations of tuner/workloads/configs, linked into the program; the table is generated.
#pragma once

#include <span>
#include <string_view>

namespace metallic {

struct BuiltInModel {
  std::string_view name;
  std::string_view text;  ///< of its config.json
};

std::span<const BuiltInModel> built_in_models();

}  // namespace metallic
