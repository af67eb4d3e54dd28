// SPDX-License-Identifier: Apache-2.0
// Loads a shared library at run time and finds its functions by name.
#pragma once

#include <dlfcn.h>

#include <string>

namespace metallic {

/// A library stays loaded until the process ends, because kernels call it, and because some do not survive the end of their
/// threads.
class SharedLibrary {
 public:
  /// Loads `file`, a path or a name that the loader looks up. RTLD_LOCAL keeps equal symbols of two libraries apart;
  /// RTLD_DEEPBIND would too, but AddressSanitizer refuses it.
  explicit SharedLibrary(const std::string& file) : handle_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {}

  /// Whether it is loaded.
  explicit operator bool() const { return handle_ != nullptr; }

  /// Sets `function` to the library's function of that name, or to null. Returns whether the library has it.
  template <typename Function>
  bool find(const char* name, Function*& function) const {
    function = handle_ ? reinterpret_cast<Function*>(dlsym(handle_, name)) : nullptr;
    return function != nullptr;
  }

 private:
  void* handle_;
};

}  // namespace metallic
