// SPDX-License-Identifier: Apache-2.0
// FileLock: lets one writer at a time read, change and write a file.
#pragma once

#include <chrono>
#include <filesystem>

#include "base/descriptor.h"
#include "base/status.h"

namespace metallic {

/// An advisory lock between processes and threads. Readers need none, because files are replaced whole. It ends with the process
/// that holds it, however that ends, and programs that the process starts do not inherit it.
class FileLock {
 public:
  static constexpr auto kPatience = std::chrono::seconds(10);

  /// Locks `.<name>.lock` beside the file; creates it, and the folder. Waits for another holder at most `patience`. A file system
  /// without locks must not stop its only writer: there it warns on stderr and locks nothing.
  static Result<FileLock> take(const std::filesystem::path& file, std::chrono::milliseconds patience = kPatience);

  FileLock(FileLock&&) = default;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  FileLock(std::filesystem::path path, Descriptor opened) : path_(std::move(path)), opened_(std::move(opened)) {}

  std::filesystem::path path_;
  Descriptor opened_;
};

}  // namespace metallic
