// SPDX-License-Identifier: Apache-2.0
// Axes: the dimensions of problems that rules test. Each has the same name in every operation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace metallic {

/// Each operation's shape.h says what the axes mean for it.
enum class Axis : unsigned char { rows, seq_q, seq_k, batch, big, n, k, side, heads, head_dim, elements };
inline constexpr std::array kAxes = {Axis::rows, Axis::seq_q, Axis::seq_k, Axis::batch,    Axis::big,     Axis::n,
                                     Axis::k,    Axis::side,  Axis::heads, Axis::head_dim, Axis::elements};

std::string_view name(Axis axis);
std::optional<Axis> parse_axis(std::string_view text);

/// The value on each axis, indexed by Axis; 0 on axes that the operation lacks.
using AxisValues = std::array<int64_t, kAxes.size()>;

}  // namespace metallic
