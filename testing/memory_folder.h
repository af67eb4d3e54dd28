// SPDX-License-Identifier: Apache-2.0
// Where tests that write many files keep them.
#pragma once

#include <unistd.h>

#include <filesystem>

namespace metallic {

/// A folder for temporary files, in memory if there is one: a killed process, unlike a power failure, loses nothing there, and no
/// test waits for a disk.
inline std::filesystem::path memory_folder() {
  constexpr const char* kMemory = "/dev/shm";
  return access(kMemory, W_OK | X_OK) == 0 ? std::filesystem::path(kMemory) : std::filesystem::temp_directory_path();
}

}  // namespace metallic
