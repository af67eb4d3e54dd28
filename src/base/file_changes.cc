// SPDX-License-Identifier: Apache-2.0
// The new files are written to a folder. Its renaming to `.changes` decides that they will be moved into place, by this process
// or the next. Moving what is still there is right at any time, so a killed move is simply repeated.
#include "base/file_changes.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <set>
#include <vector>

#include "base/file.h"

namespace metallic {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDecided = ".changes";
constexpr std::string_view kDeletion = ".delete";  // an empty file of this extension stands for a deletion

Status stage(const fs::path& staged, const FileChanges& changes) {
  for (const auto& [path, content] : changes) {
    fs::path to = staged / path;
    if (!content) to += kDeletion;
    METALLIC_CHECK(write_file(to, content.value_or("")));
  }
  sync_folder(staged);
  return {};
}

Result<std::vector<fs::path>> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (!at->is_directory(error)) files.push_back(at->path());
  if (error) return file_error("read", folder, error.value());
  return files;
}

}  // namespace

Status change_files(const fs::path& folder, const FileChanges& changes) {
  // What can fail should fail now.
  std::error_code error;
  for (const auto& [path, content] : changes) {
    METALLIC_CHECK(check_replaceable(folder / path));
    fs::create_directories((folder / path).parent_path(), error);
    if (error) return file_error("make the folder of", folder / path, error.value());
  }
  std::string staged = temporary_beside(folder / "changes");
  if (!mkdtemp(staged.data())) return file_error("write in", folder, errno);
  Status written = stage(staged, changes);
  if (written && rename(staged.c_str(), (folder / kDecided).c_str()) != 0) written = file_error("write in", folder, errno);
  if (!written) {
    fs::remove_all(staged, error);
    return written;
  }
  sync_folder(folder);
  return finish_changes(folder);
}

Status finish_changes(const fs::path& folder) {
  const fs::path decided = folder / kDecided;
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(decided, ignored))) return {};
  METALLIC_TRY(const auto files, files_in(decided));
  std::set<fs::path> touched;
  for (const fs::path& file : files) {
    fs::path to = folder / file.lexically_relative(decided);
    const bool deletion = to.extension() == kDeletion;
    if (deletion) to.replace_extension();
    touched.insert(to.parent_path());
    if (deletion && unlink(to.c_str()) != 0 && errno != ENOENT) return file_error("delete", to, errno);
    if (deletion ? unlink(file.c_str()) != 0 : rename(file.c_str(), to.c_str()) != 0) return file_error("write", to, errno);
  }
  // Only once the moves last may their list go.
  for (const fs::path& each : touched) sync_folder(each);
  fs::remove_all(decided, ignored);
  return {};
}

}  // namespace metallic
