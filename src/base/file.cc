// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/descriptor.h"

namespace metallic {
namespace {

constexpr std::string_view kTemporary = ".metallic-";
constexpr size_t kRandom = 6;  // letters that mkstemp puts in place of the X's

bool is_temporary(std::string_view name) {
  if (!name.starts_with('.') || name.size() <= kTemporary.size() + kRandom) return false;
  return name.substr(0, name.size() - kRandom).ends_with(kTemporary);
}

// Creates a temporary file beside `path`; `temporary` becomes its name.
Result<int> open_beside(const std::filesystem::path& path, std::string& temporary) {
  METALLIC_CHECK(check_replaceable(path));
  std::error_code error;
  std::filesystem::create_directories(folder_of(path), error);
  if (error) return file_error("make the folder of", path, error.value());
  temporary = temporary_beside(path);
  const int file = mkostemp(temporary.data(), O_CLOEXEC);
  if (file < 0) return file_error("write", path, errno);
  return file;
}

struct Opened {
  Descriptor descriptor;
  off_t bytes;
};

Result<Opened> open_regular(const std::filesystem::path& path) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!file || fstat(file.get(), &info) != 0) return file_error("read", path, errno);
  if (!S_ISREG(info.st_mode)) return fail(Code::io, "cannot read {}: not a regular file", in_quotes(path.native()));
  return Opened{std::move(file), info.st_size};
}

Result<std::string> read_up_to(const Opened& file, const std::filesystem::path& path, size_t most) {
  std::string content(most, '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t got = read(file.descriptor.get(), content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return file_error("read", path, errno);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  content.resize(done);
  return content;
}

}  // namespace

tl::unexpected<Error> file_error(std::string_view action, const std::filesystem::path& path, int error) {
  return fail(error == ENOENT || error == ENOTDIR ? Code::not_found : Code::io, "cannot {} {}: {}", action,
              in_quotes(path.native()), std::strerror(error));
}

std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  return text.starts_with(kMark) ? text.substr(kMark.size()) : text;
}

Result<std::string> read_file(const std::filesystem::path& path, size_t most) {
  METALLIC_TRY(const Opened file, open_regular(path));
  if (static_cast<size_t>(file.bytes) > most)
    return fail(Code::invalid_argument, "{} has {} bytes, at most {} are read", in_quotes(path.native()), file.bytes, most);
  return read_up_to(file, path, static_cast<size_t>(file.bytes));
}

Result<std::string> read_system_file(const std::filesystem::path& path, size_t most) {
  METALLIC_TRY(const Opened file, open_regular(path));
  METALLIC_TRY(std::string content, read_up_to(file, path, most + 1));
  if (content.size() > most) return fail(Code::invalid_argument, "{} has over {} bytes", in_quotes(path.native()), most);
  return content;
}

Status write_file(const std::filesystem::path& path, std::string_view content) {
  std::string temporary;
  METALLIC_TRY(const int opened, open_beside(path, temporary));
  const Descriptor file(opened);
  int problem = 0;
  for (size_t done = 0; done < content.size() && problem == 0;) {
    const ssize_t put = write(file.get(), content.data() + done, content.size() - done);
    if (put < 0 && errno != EINTR) problem = errno;
    if (put > 0) done += static_cast<size_t>(put);
  }
  if (problem == 0 && fchmod(file.get(), 0644) != 0) problem = errno;
  if (problem == 0 && fsync(file.get()) != 0) problem = errno;
  if (problem == 0 && rename(temporary.c_str(), path.c_str()) != 0) problem = errno;
  if (problem == 0) {
    sync_folder(folder_of(path));
    return {};
  }
  unlink(temporary.c_str());
  return file_error("write", path, problem);
}

Status check_writable(const std::filesystem::path& path) {
  std::string temporary;
  METALLIC_TRY(const int opened, open_beside(path, temporary));
  const Descriptor file(opened);
  unlink(temporary.c_str());
  return {};
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

Status check_replaceable(const std::filesystem::path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    return fail(Code::io, "cannot write {}: not a regular file", in_quotes(path.native()));
  return {};
}

// Errors are ignored: the files are complete and in place, and some file systems cannot sync folders.
void sync_folder(const std::filesystem::path& folder) {
  const Descriptor opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened) fsync(opened.get());
}

std::string temporary_beside(const std::filesystem::path& path) {
  return (folder_of(path) / fmt::format(".{}{}{}", path.filename().native(), kTemporary, std::string(kRandom, 'X'))).native();
}

void remove_leftovers(const std::filesystem::path& folder) {
  constexpr auto kAlive = std::chrono::minutes(10);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (!is_temporary(entry.path().filename().native())) continue;
    const auto written = entry.last_write_time(ignored);
    if (!ignored && std::filesystem::file_time_type::clock::now() - written > kAlive)
      std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace metallic
