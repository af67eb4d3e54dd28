// SPDX-License-Identifier: Apache-2.0
#include "ops/operation.h"

#include <algorithm>

namespace metallic {

std::strong_ordering Op::operator<=>(const Op& other) const {
  const auto order = [](const Operation* operation) { return operation ? operation->order : -1; };
  return order(operation_) <=> order(other.operation_);
}

std::string_view name(Op op) { return op ? op->name : "none"; }

bool Shape::operator==(const Shape& other) const {
  return operation_ == other.operation_ && (!operation_ || operation_->equal(*this, other));
}

int64_t value_of(const LimitVariable& limit, const Limits& overrides, const DeviceInfo& device, DType dtype) {
  const auto found = overrides.find(limit.variable);
  return found == overrides.end() ? limit.default_value(device, dtype) : found->second;
}

int64_t default_limit(Op op, std::string_view threshold, const DeviceInfo& device, DType dtype) {
  const auto found = std::ranges::find(op->limits, threshold, &LimitVariable::threshold);
  return found == op->limits.end() ? 0 : found->default_value(device, dtype);
}

}  // namespace metallic
