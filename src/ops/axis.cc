// SPDX-License-Identifier: Apache-2.0
#include "ops/axis.h"

namespace metallic {

std::string_view name(Axis axis) {
  switch (axis) {
    case Axis::rows: return "rows";
    case Axis::seq_q: return "seq_q";
    case Axis::seq_k: return "seq_k";
    case Axis::batch: return "batch";
    case Axis::big: return "big";
    case Axis::n: return "n";
    case Axis::k: return "k";
    case Axis::side: return "side";
    case Axis::heads: return "heads";
    case Axis::head_dim: return "head_dim";
    case Axis::elements: return "elements";
  }
  return "unknown";
}

std::optional<Axis> parse_axis(std::string_view text) {
  for (const Axis axis : kAxes)
    if (text == name(axis)) return axis;
  return std::nullopt;
}

}  // namespace metallic
