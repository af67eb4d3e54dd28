// The checkpoint: raw samples on disk, block by block, while a run goes on; what is killed goes on from there.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "base/status.h"
#include "tuner/io/records.h"

namespace metallic::cli {

class Checkpoint {
 public:
  /// Reads the file where there is one; a last block that was not written whole is passed over. Nothing is written before the
  /// first `append`. Errors: a file that is not a checkpoint of this version, or cannot be written.
  static Result<Checkpoint> open(std::filesystem::path path);
  Checkpoint(Checkpoint&& other) noexcept : path_(std::move(other.path_)), earlier_(std::move(other.earlier_)), file_(other.file_) {
    other.file_ = -1;
  }
  ~Checkpoint();

  /// The samples of whole blocks that were there.
  const std::vector<SampleRow>& earlier() const { return earlier_; }
  const std::filesystem::path& path() const { return path_; }

  /// Appends the rows of one block, with their places in it from 0.
  Status append(std::span<const SampleRow> block);

  /// Removes the file: its samples are elsewhere now.
  void remove();

 private:
  explicit Checkpoint(std::filesystem::path path) : path_(std::move(path)) {}
  Status begin();

  std::filesystem::path path_;
  std::vector<SampleRow> earlier_;
  int file_ = -1;
};

}  // namespace metallic::cli
