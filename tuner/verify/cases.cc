// SPDX-License-Identifier: Apache-2.0
#include "tuner/verify/cases.h"

#include "tuner/operation/operation.h"

namespace metallic::validation {

std::string_view name(Values values) {
  switch (values) {
    case Values::random: return "random";
    case Values::wide: return "wide";
    case Values::denormal: return "denormal";
    case Values::far: return "far";
    case Values::overflowing: return "overflowing";
    case Values::some_minus_infinity: return "some_minus_infinity";
    case Values::infinity: return "infinity";
    case Values::all_minus_infinity: return "all_minus_infinity";
    case Values::nan: return "nan";
    case Values::equal: return "equal";
    case Values::integers: return "integers";
  }
  return "unknown";
}

std::vector<Case> cases(Op op, DType dtype, DType out_dtype, Depth depth) {
  CaseBuilder builder(dtype, out_dtype);
  tuner_operation(op).add_cases(builder, depth);
  return builder.take();
}

}  // namespace metallic::validation
