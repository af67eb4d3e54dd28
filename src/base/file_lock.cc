// SPDX-License-Identifier: Apache-2.0
// The lock is flock's on a file that exists only while it is held or waited for, so that none stays in a user's folder.
#include "base/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "base/file.h"
#include "base/log.h"

namespace metallic {
namespace {

// Writing is for NFS, which locks only files that are open for it. A lock file of another user may be open for reading only.
Descriptor open_lock(const std::filesystem::path& path) {
  Descriptor opened(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!opened && errno == EACCES) {
    opened = Descriptor(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!opened) errno = EACCES;
  }
  return opened;
}

// Whether the open file is still the one at the path: its last holder, or a user, may have deleted it since.
bool is_at(const std::filesystem::path& path, const Descriptor& opened) {
  struct stat there {
  }, ours{};
  return lstat(path.c_str(), &there) == 0 && fstat(opened.get(), &ours) == 0 && there.st_dev == ours.st_dev &&
         there.st_ino == ours.st_ino;
}

}  // namespace

Result<FileLock> FileLock::take(const std::filesystem::path& file, std::chrono::milliseconds patience) {
  constexpr auto kPause = std::chrono::milliseconds(2);
  const std::filesystem::path path = folder_of(file) / fmt::format(".{}.lock", file.filename().native());
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return file_error("make the folder of", file, error.value());
  // Asks again and again, because nothing but a signal ends a wait for the kernel.
  for (const auto begin = std::chrono::steady_clock::now();;) {
    Descriptor opened = open_lock(path);
    if (!opened) return file_error("lock", path, errno);
    if (flock(opened.get(), LOCK_EX | LOCK_NB) == 0) {
      if (is_at(path, opened)) return FileLock(path, std::move(opened));
    } else if (errno != EWOULDBLOCK && errno != EINTR) {
      Logger(LogLevel::warning)
          .warn(fmt::format("cannot lock {}: {}: what another process writes there now may be lost", path.native(),
                            std::strerror(errno)));
      return FileLock(path, std::move(opened));
    }
    if (std::chrono::steady_clock::now() - begin >= patience)
      return fail(Code::io, "cannot lock {}: another process holds it (waited {:.3g} s)", path.native(),
                  std::chrono::duration<double>(patience).count());
    std::this_thread::sleep_for(kPause);
  }
}

// Unlocks too, as the file may not be ours to delete, and a child that was forked meanwhile keeps it open.
FileLock::~FileLock() {
  if (!opened_) return;
  if (is_at(path_, opened_)) unlink(path_.c_str());
  flock(opened_.get(), LOCK_UN);
}

}  // namespace metallic
