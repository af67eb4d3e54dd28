// SPDX-License-Identifier: Apache-2.0
// The boundary of the C interface: statuses instead of errors and exceptions, and structs of older and newer callers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string_view>

#include "base/float_state.h"
#include "base/status.h"
#include "metallic/metallic.h"

namespace metallic {

/// Stores the message as the thread's last error. Takes no memory.
metallic_status remember(Code code, std::string_view message);

/// The frame of an entry that computes with integers only: its Status becomes a metallic_status, and so does anything it throws.
template <typename Body>
metallic_status at_integer_boundary(const Body& body) noexcept {
  try {
    const Status status = body();
    return status ? METALLIC_OK : remember(status.error().code, status.error().message);
  } catch (const std::bad_alloc&) {
    return remember(Code::out_of_memory, "out of memory");
  } catch (const std::length_error&) {  // a container beyond its maximum size
    return remember(Code::out_of_memory, "out of memory");
  } catch (const std::exception& error) {
    return remember(Code::internal, error.what());
  } catch (...) {
    return remember(Code::internal, "an exception of unknown type");
  }
}

/// The frame of all others. The caller's rounding mode and traps must not change a choice or a result, and its sticky flags stay
/// as they are.
template <typename Body>
metallic_status at_boundary(const Body& body) noexcept {
  const DefaultFloatState state;
  return at_integer_boundary(body);
}

inline Status need(const void* pointer, std::string_view what) {
  if (!pointer) return fail(Code::invalid_argument, "{} is NULL", what);
  return {};
}

// A struct's name, and the end of the last member of its first version. No header ever had a smaller struct, so a smaller
// struct_size is a mistake, such as the size of a pointer.
template <typename T>
struct FirstVersion;
#define METALLIC_FIRST_VERSION(type, last)                                     \
  template <>                                                                  \
  struct FirstVersion<type> {                                                  \
    static constexpr std::string_view kName = #type;                           \
    static constexpr size_t kSize = offsetof(type, last) + sizeof(type::last); \
  }
METALLIC_FIRST_VERSION(metallic_executor, parallel);
METALLIC_FIRST_VERSION(metallic_context_options, log_user);
METALLIC_FIRST_VERSION(metallic_problem, out_strides);
METALLIC_FIRST_VERSION(metallic_plan_options, numerics);
METALLIC_FIRST_VERSION(metallic_tensors, out);
METALLIC_FIRST_VERSION(metallic_run_options, executor);
#undef METALLIC_FIRST_VERSION

template <typename T>
Result<size_t> struct_size(const T* given, std::string_view what) {
  METALLIC_CHECK(need(given, what));
  if (given->struct_size < FirstVersion<T>::kSize)
    return fail(Code::invalid_argument, "{}->struct_size is {}: set it to sizeof({}), here {}", what, given->struct_size,
                FirstVersion<T>::kName, sizeof(T));
  return given->struct_size;
}

/// The caller's struct as this version knows it: members that the caller's struct lacks are 0.
template <typename T>
Result<T> known_part(const T* given, std::string_view what) {
  METALLIC_TRY(const size_t size, struct_size(given, what));
  T known{};
  std::memcpy(&known, given, std::min(size, sizeof(T)));
  return known;
}

/// An enumerator as C stores it. It may be any number, which C++ must not read as the enum.
template <typename Enum>
int stored(const Enum& value) {
  int number = 0;
  static_assert(sizeof(Enum) == sizeof(int));
  std::memcpy(&number, &value, sizeof(int));
  return number;
}

}  // namespace metallic
