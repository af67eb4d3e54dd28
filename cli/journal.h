// The journal: raw samples on disk, block by block, while a run goes on; what is killed goes on from there.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "core/status.h"
#include "formats/records.h"

namespace metallic::cli {

class Journal {
 public:
  /// Opens or makes the file. A last line that was not written whole is cut off. Errors: a file that is not samples.csv.
  static Result<Journal> open(std::filesystem::path path);
  Journal(Journal&& other) noexcept : path_(std::move(other.path_)), earlier_(std::move(other.earlier_)), file_(other.file_) {
    other.file_ = -1;
  }
  ~Journal();

  /// The samples that were there.
  const std::vector<SampleRow>& earlier() const { return earlier_; }
  const std::filesystem::path& path() const { return path_; }

  /// Appends rows with one write, so that a kill leaves all of them or a line that the next `open` cuts off.
  Status append(std::span<const SampleRow> rows);

  /// Removes the file: its samples are elsewhere now.
  void remove();

 private:
  explicit Journal(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
  std::vector<SampleRow> earlier_;
  int file_ = -1;
};

}  // namespace metallic::cli
