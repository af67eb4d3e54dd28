// SPDX-License-Identifier: Apache-2.0
// Checkpoint: stores the samples of a tuning run block by block, so that an interrupted run can continue.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "base/file_lock.h"
#include "base/status.h"
#include "tuner/io/records.h"

namespace metallic::cli {

class Checkpoint {
 public:
  /// Reads the file if it exists, without a last block that is incomplete. Writes nothing before the first `append`. Locks the
  /// file for its lifetime. Errors: a file that is not a checkpoint of this version, that cannot be written, or that another run
  /// writes.
  static Result<Checkpoint> open(std::filesystem::path path);
  Checkpoint(Checkpoint&& other) noexcept
      : path_(std::move(other.path_)), lock_(std::move(other.lock_)), earlier_(std::move(other.earlier_)), file_(other.file_) {
    other.file_ = -1;
  }
  ~Checkpoint();

  /// The samples of complete blocks in the file when it was opened.
  const std::vector<SampleRow>& earlier() const { return earlier_; }
  const std::filesystem::path& path() const { return path_; }

  /// Appends the rows of one block; their `order` counts from 0.
  Status append(std::span<const SampleRow> block);

  /// Deletes the file.
  void remove();

 private:
  Checkpoint(std::filesystem::path path, FileLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  Status begin();

  std::filesystem::path path_;
  FileLock lock_;
  std::vector<SampleRow> earlier_;
  int file_ = -1;
};

}  // namespace metallic::cli
