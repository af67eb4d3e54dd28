// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace metallic {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

tl::unexpected<Error> failed(std::string_view action, const std::filesystem::path& path, int error) {
  return fail(error == ENOENT || error == ENOTDIR ? Code::not_found : Code::io, "cannot {} {}: {}", action,
              in_quotes(path.native()), std::strerror(error));
}

// Creates a temporary file beside `path`; `temporary` becomes its name.
Result<int> open_beside(const std::filesystem::path& path, std::string& temporary) {
  // Renaming over a device or a pipe would remove it; over a folder it would fail only at the end.
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    return fail(Code::io, "cannot write {}: not a regular file", in_quotes(path.native()));
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return failed("make the folder of", path, error.value());
  temporary = (folder / ("." + path.filename().native() + ".XXXXXX")).native();
  const int file = mkostemp(temporary.data(), O_CLOEXEC);
  if (file < 0) return failed("write", path, errno);
  return file;
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path, size_t most) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (file.get() < 0 || fstat(file.get(), &info) != 0) return failed("read", path, errno);
  if (!S_ISREG(info.st_mode)) return fail(Code::io, "cannot read {}: not a regular file", in_quotes(path.native()));
  if (static_cast<size_t>(info.st_size) > most)
    return fail(Code::invalid_argument, "{} has {} bytes, at most {} are read", in_quotes(path.native()), info.st_size, most);
  std::string content(static_cast<size_t>(info.st_size), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t got = read(file.get(), content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("read", path, errno);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  content.resize(done);
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
  if (problem == 0) return {};
  unlink(temporary.c_str());
  return failed("write", path, problem);
}

Status check_writable(const std::filesystem::path& path) {
  std::string temporary;
  METALLIC_TRY(const int opened, open_beside(path, temporary));
  const Descriptor file(opened);
  unlink(temporary.c_str());
  return {};
}

}  // namespace metallic
