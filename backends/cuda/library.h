// A shared library found at run time, and its functions by name.
#pragma once

#include <dlfcn.h>

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

}  // namespace metallic::cuda
