// SPDX-License-Identifier: Apache-2.0
#include "tuner/operation/operation.h"

#include <fmt/format.h>

#include <stdexcept>

#include "ops/operation.h"

namespace metallic {

std::span<const TunerOperation* const> tuner_operation_table();  // generated

const TunerOperation& tuner_operation(Op op) {
  for (const TunerOperation* each : tuner_operation_table())
    if (Op(*each->operation) == op) return *each;
  throw std::logic_error(fmt::format("{} has no file in tuner/operations", name(op)));
}

}  // namespace metallic
