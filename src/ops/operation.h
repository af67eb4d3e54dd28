// SPDX-License-Identifier: Apache-2.0
// An operation: one object that answers every question about its problems. It is defined in src/ops/<name>/operation.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "device/info.h"
#include "metallic/metallic.h"
#include "ops/c_key.h"
#include "ops/label_scanner.h"
#include "ops/problem.h"
#include "ops/rule.h"
#include "ops/variant.h"

namespace metallic {

/// A short name that the environment variable for the variant accepts: `vec` for `<backend>_vec`, or any rule of a family.
struct ShortName {
  std::string_view word;
  std::string_view family{};  ///< if not empty, the word allows every variant of this family instead of naming one
};

/// A limit of the built-in rules, which an environment variable can override.
struct LimitVariable {
  std::string_view variable;
  std::string_view help;
  std::string_view threshold;  ///< its name in profiles, e.g. softmax_vec_block
  int64_t (*default_value)(const DeviceInfo&, DType);
};

/// Overridden limits, by variable.
using Limits = std::map<std::string, int64_t, std::less<>>;

/// The overridden value, or the default one.
int64_t value_of(const LimitVariable& limit, const Limits& overrides, const DeviceInfo& device, DType dtype);

/// The default value of an operation's threshold, or 0 if it has none of that name.
int64_t default_limit(Op op, std::string_view threshold, const DeviceInfo& device, DType dtype);

/// The variants and tunings whose reduction order every batch-invariant plan must match. The first that accepts a problem and has
/// a reduction order counts. Whether it does, and its order, depend only on K, types and strides.
struct CanonicalOrder {
  std::string_view variant, tuning;
  bool (*applies)(const Problem&) = nullptr;  ///< null: applies to all problems
};

/// Operation::order is below this.
inline constexpr size_t kMostOperations = 16;

struct Operation {
  /// Its folder's name, and its name everywhere.
  std::string_view name;

  /// Its number: its `metallic_op` if C callers have it, and its position in lists. Unique, below kMostOperations.
  int order;

  // Problems. Each function receives only problems of this operation.
  bool (*equal)(const Shape&, const Shape&);
  std::span<const std::string_view> layouts;  ///< at most kMostLayouts
  size_t (*layout)(const Problem&);           ///< the position of its layout in `layouts`
  std::span<const Axis> axes;                 ///< on which its problems have a value
  AxisValues (*axis_values)(const Problem&);
  Status (*validate)(const Problem&);
  /// True only if no operand can exceed 62 bits of bytes. Computed without multiplying: every choice calls it, and the exact
  /// count takes 10 to 15 ns.
  bool (*surely_addressable)(const Problem&);
  OperandBytes (*operand_bytes)(const Problem&);  ///< kTooManyBytes for an operand beyond 62 bits
  Work (*work)(const Problem&);
  uint64_t (*hash)(const Problem&);          ///< of shape and type; may omit strides, which `equal` compares
  bool (*reads_output)(const Problem&);      ///< whether a run reads what the output holds
  Status (*check_in_place)(const Problem&);  ///< whether in[0] may be the output
  std::string (*unusual)(const Problem&);    ///< strides and scalars that the label omits, as `name=value`; or empty
  bool writes_as_much_as_it_reads;           ///< its roofline is copy bandwidth, not read bandwidth

  // Labels.
  std::string (*label)(const Problem&);
  /// Whether a text is meant as a label of this operation. Null for exactly one operation, which gets all other labels.
  bool (*owns_label)(std::string_view);
  Result<LabelPattern> (*scan_label)(LabelScanner&);
  std::string_view label_examples;

  // The C interface; null if C callers lack the operation.
  Problem (*from_c)(const metallic_problem&);
  CKey (*c_key)(const metallic_problem&);    ///< of all members that from_c reads
  metallic_problem (*to_c)(const Problem&);  ///< the inverse, for a label's problem; strides stay 0

  // Selection.
  std::span<const Variant> (*variants)();  ///< generated from its folder's files
  std::string_view variant_variable;       ///< the environment variable that forces a variant
  std::string_view variant_variable_help;
  std::span<const ShortName> short_names;  ///< that the variable accepts besides full names
  std::span<const LimitVariable> limits;   ///< of the built-in rules
  std::vector<Rule> (*default_rules)(const RuleKey&, const DeviceInfo&, const Limits&);
  std::span<const CanonicalOrder> (*canonical_orders)(std::string_view backend);
};

}  // namespace metallic
