// SPDX-License-Identifier: Apache-2.0
// What scale is, for labels, rules and the dispatcher.
#include "ops/operation.h"

#include <fmt/format.h>

#include <array>

#include "ops/extents.h"
#include "ops/hash.h"
#include "testing/operations/scale/shape.h"

namespace metallic {

std::span<const Variant> scale_variants();  // generated

namespace scale {
namespace {

const ScaleShape& shape(const Problem& problem) { return problem.as<ScaleShape>(); }

AxisValues axis_values(const Problem& problem) {
  AxisValues at{};
  at[static_cast<size_t>(Axis::rows)] = shape(problem).rows;
  at[static_cast<size_t>(Axis::n)] = shape(problem).n;
  return at;
}

Status validate(const Problem& problem) {
  const ScaleShape& s = shape(problem);
  if (s.rows >= 0 && s.n >= 0) return {};
  return fail(Code::invalid_argument, "scale dimensions must be ≥ 0, got rows {} n {}", s.rows, s.n);
}

OperandBytes operand_bytes(const Problem& problem) {
  const ScaleShape& s = shape(problem);
  return {span_bytes({{s.rows, s.n}}, s.n, problem.dtype), 0, 0, span_bytes({{s.rows, s.n}}, s.n, problem.out_dtype)};
}

Work work(const Problem& problem) {
  const double elements = static_cast<double>(shape(problem).rows) * static_cast<double>(shape(problem).n);
  return {.operations = elements,
          .flops = elements,
          .bytes = elements * static_cast<double>(size_of(problem.dtype) + size_of(problem.out_dtype))};
}

Result<LabelPattern> scan_label(LabelScanner& scanner) {
  LabelPattern pattern;
  for (const std::string_view word : {"scale", "x"}) {
    METALLIC_CHECK(scanner.expect(word));
    METALLIC_TRY(auto values, scanner.integers());
    pattern.numbers.push_back(std::move(values));
  }
  pattern.make = [](const auto& v) { return scale_problem(v[0], v[1]); };
  return pattern;
}

constexpr std::array<std::string_view, 1> kLayouts = {"contiguous"};
constexpr std::array kOwnAxes = {Axis::rows, Axis::n};

std::vector<Rule> default_rules(const RuleKey&, const DeviceInfo& device, const Limits&) {
  return {{.use = fmt::format("{}_backward", device.backend)}};
}

std::span<const CanonicalOrder> canonical_orders(std::string_view) {
  static constexpr CanonicalOrder kCpu[] = {{"cpu_forward", ""}};
  return kCpu;
}

}  // namespace
}  // namespace scale

constinit const Operation scale_operation = {
    .name = "scale",
    .order = 7,
    .equal = [](const Shape& a, const Shape& b) { return a.as<ScaleShape>() == b.as<ScaleShape>(); },
    .layouts = scale::kLayouts,
    .layout = [](const Problem&) -> size_t { return 0; },
    .axes = scale::kOwnAxes,
    .axis_values = scale::axis_values,
    .validate = scale::validate,
    .surely_addressable = [](const Problem& p) { return all_below<29>(scale::shape(p).rows, scale::shape(p).n); },
    .operand_bytes = scale::operand_bytes,
    .work = scale::work,
    .hash = [](const Problem& p) { return hash_of(static_cast<int>(p.dtype) + 24, scale::shape(p).rows, scale::shape(p).n); },
    .reads_output = [](const Problem&) { return false; },
    .check_in_place = nullptr,
    .unusual = [](const Problem&) { return std::string(); },
    .writes_as_much_as_it_reads = true,
    .label = [](const Problem& p) { return fmt::format("scale{}x{}", scale::shape(p).rows, scale::shape(p).n); },
    .owns_label = [](std::string_view text) { return text.starts_with("scale"); },
    .scan_label = scale::scan_label,
    .label_examples = "scale4x64",
    .from_c = nullptr,
    .c_key = nullptr,
    .to_c = nullptr,
    .variants = scale_variants,
    .variant_variable = "METALLIC_SCALE_VARIANT",
    .variant_variable_help = "forces the scale variant",
    .short_names = {},
    .limits = {},
    .default_rules = scale::default_rules,
    .canonical_orders = scale::canonical_orders,
};

Problem scale_problem(int64_t rows, int64_t n) { return {.shape = ScaleShape{.rows = rows, .n = n}}; }

}  // namespace metallic
