// SPDX-License-Identifier: Apache-2.0
// A CSV file of samples, written so that an incomplete block at its end is recognised.
#include "tools/metallic/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "base/file.h"
#include "tuner/io/csv.h"

namespace metallic::cli {
namespace {

constexpr size_t kMostBytes = size_t{1} << 30;

std::string header() { return to_csv(sample_columns(), std::span<const SampleRow>()); }

}  // namespace

// Blocks are written in reverse order, so a file that ends with order 0 ends with a complete block.
Result<Checkpoint> Checkpoint::open(std::filesystem::path path) {
  METALLIC_CHECK(check_writable(path));
  auto lock = FileLock::take(path, std::chrono::seconds(0));
  if (!lock) return fail(lock.error().code, "{}: choose another --output-dir", lock.error().message);
  Checkpoint checkpoint(std::move(path), std::move(*lock));
  std::error_code ignored;
  if (!std::filesystem::exists(checkpoint.path_, ignored)) return checkpoint;
  const std::string& name = checkpoint.path_.native();
  METALLIC_TRY(std::string text, read_file(checkpoint.path_, kMostBytes));
  const std::string first = header();
  if (!text.starts_with(first) && !first.starts_with(text))
    return fail(Code::invalid_argument, "{} does not have the header of samples of this version: move or delete it", name);
  text.resize(text.rfind('\n') + 1);  // drops an incomplete line
  if (text.empty()) return checkpoint;
  METALLIC_TRY(checkpoint.earlier_, parse_samples(text, name));
  while (!checkpoint.earlier_.empty() && checkpoint.earlier_.back().order != 0) checkpoint.earlier_.pop_back();
  return checkpoint;
}

Checkpoint::~Checkpoint() {
  if (file_ >= 0) ::close(file_);
}

// Rewrites the file without an incomplete block. Not earlier than the first append: until then it may belong to another run.
Status Checkpoint::begin() {
  METALLIC_CHECK(write_file(path_, to_csv(sample_columns(), std::span<const SampleRow>(earlier_))));
  file_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file_ < 0) return fail(Code::invalid_argument, "{}: {}: choose another --output-dir", path_.native(), std::strerror(errno));
  return {};
}

Status Checkpoint::append(std::span<const SampleRow> block) {
  if (file_ < 0) METALLIC_CHECK(begin());
  std::vector<SampleRow> rows(block.begin(), block.end());
  std::ranges::sort(rows, std::greater(), &SampleRow::order);
  const std::string text = to_csv(sample_columns(), std::span<const SampleRow>(rows)).substr(header().size());
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(file_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      return fail(Code::invalid_argument, "{}: {}: free some space and run the same command again, it continues from there",
                  path_.native(), std::strerror(errno));
    done += static_cast<size_t>(written);
  }
  return {};
}

void Checkpoint::remove() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace metallic::cli
