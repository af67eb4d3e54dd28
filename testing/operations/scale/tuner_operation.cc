// SPDX-License-Identifier: Apache-2.0
// The tuner's side of scale.
#include "tuner/operation/operation.h"

#include <fmt/format.h>

#include "ops/element.h"
#include "testing/operations/scale/shape.h"

namespace metallic {
namespace {

const ScaleShape& shape(const Problem& problem) { return problem.as<ScaleShape>(); }

void expect(const Problem& problem, const Args& args, const void*, size_t most, uint64_t seed,
            std::vector<ExpectedElement>& elements) {
  for (const int64_t i : sampled_indices(shape(problem).rows * shape(problem).n, most, seed)) {
    const double value = 3 * element(problem.dtype, args.in[0], i);
    elements.push_back({i, i, value, value < 0 ? -value * kUnit : value * kUnit});
  }
}

std::vector<StoredRow> stored_rows(const Problem& problem, size_t operand) {
  std::vector<StoredRow> rows;
  if (operand == 0 || operand == kOut) add_rows({0, 0, shape(problem).n}, 1, 1, shape(problem).rows, shape(problem).n, rows);
  return rows;
}

}  // namespace

extern const TunerOperation scale_tuner_operation = {
    .operation = &scale_operation,
    .expect = expect,
    .coordinates = [](const Problem&, int64_t logical) { return fmt::format("element {}", logical); },
    .add_cases =
        [](validation::CaseBuilder& to, validation::Depth) {
          for (const int64_t rows : {0, 1, 7})
            for (const int64_t n : {0, 1, 33}) to.add(scale_problem(rows, n), 2);
        },
    .stored_rows = stored_rows,
    .wide = [](size_t, double x) { return 1000 * x; },
    .equal_value = 0.5,
    .nan_in_each_row = false,
    .hidden = nullptr,
    .fill_padding = nullptr,
    .is_cold = [](const Problem&, size_t) { return true; },
    .timed_warm = true,
    .terms = [](const Problem&) -> int64_t { return 1; },
    .is_masked = [](const Problem&) { return false; },
    .sample =
        [](const Problem&, int random_count, const AddShape& add_shape, const LogUniform& random) {
          for (int i = 0; i < random_count; ++i) add_shape(scale_problem(random(1, 64), random(1, 4096)), "drawn");
        },
    .axes = {.first = Axis::n, .parts = {}, .splits = {Axis::rows}, .depth = 1},
    .curve = {},
    .held_fixed = [](const Problem& problem) { return fmt::format("rows = {}", shape(problem).rows); },
    .moved = [](const Problem& problem, int64_t n) -> std::optional<Problem> { return scale_problem(shape(problem).rows, n); },
    .thresholds = nullptr,
};

}  // namespace metallic
