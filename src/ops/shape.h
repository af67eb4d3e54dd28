// SPDX-License-Identifier: Apache-2.0
// Shapes: the dimensions, strides and scalars of one call of any operation, stored by value.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <new>
#include <stdexcept>
#include <string_view>
#include <type_traits>

namespace metallic {

struct Operation;

/// An operation as a value: it compares, orders and prints like an enumerator. Its folder is src/ops/<name>.
class Op {
 public:
  Op() = default;  ///< no operation
  constexpr Op(const Operation& operation) : operation_(&operation) {}

  const Operation* operator->() const { return operation_; }
  const Operation& operator*() const { return *operation_; }
  explicit operator bool() const { return operation_ != nullptr; }

  bool operator==(const Op&) const = default;
  std::strong_ordering operator<=>(const Op& other) const;  ///< by Operation::order

 private:
  const Operation* operation_ = nullptr;
};

/// "softmax"; "none" for no operation.
std::string_view name(Op op);

/// Any operation's shape: a trivially copyable struct S of at most kBytes with `static const Operation& operation()`.
class Shape {
 public:
  static constexpr size_t kBytes = 192;

  Shape() = default;

  template <typename S>
  requires(!std::is_same_v<S, Shape>) Shape(const S& shape) : operation_(&S::operation()) {
    static_assert(std::is_trivially_copyable_v<S> && sizeof(S) <= kBytes && alignof(S) <= 8);
    new (bytes_.data()) S(shape);
  }

  Op op() const { return operation_ ? Op(*operation_) : Op(); }

  template <typename S>
  bool holds() const {
    return operation_ == &S::operation();
  }

  /// Throws std::logic_error if the shape is another operation's.
  template <typename S>
  const S& as() const {
    if (!holds<S>()) [[unlikely]]
      throw std::logic_error("a shape was read as another operation's");
    return *std::launder(reinterpret_cast<const S*>(bytes_.data()));
  }
  template <typename S>
  S& as() {
    return const_cast<S&>(static_cast<const Shape&>(*this).as<S>());
  }

  bool operator==(const Shape& other) const;

 private:
  alignas(8) std::array<std::byte, kBytes> bytes_{};
  const Operation* operation_ = nullptr;
};

}  // namespace metallic
