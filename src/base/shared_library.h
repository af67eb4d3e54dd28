// A shared library found at run time, and its functions by name.
#pragma once

#include <dlfcn.h>
#include <fmt/format.h>

#include <string>
#include <type_traits>

namespace metallic::cuda {

/// Kept until the process ends: what kernels call must not go.
class SharedLibrary {
 public:
  explicit SharedLibrary(const char* file) : handle_(dlopen(file, RTLD_NOW | RTLD_LOCAL)) {}

  explicit operator bool() const { return handle_ != nullptr; }

  /// Whether the library has it; `function` is null where not.
  template <typename Function>
  bool find(const char* name, Function*& function) const {
    function = handle_ ? reinterpret_cast<Function*>(dlsym(handle_, name)) : nullptr;
    return function != nullptr;
  }

 private:
  void* handle_;
};

/// The version that NVIDIA's libraries say as one number, 130100 for 13.1.0.
inline std::string version_of(size_t number) { return fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100); }

}  // namespace metallic::cuda
