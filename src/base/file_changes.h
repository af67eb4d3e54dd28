// SPDX-License-Identifier: Apache-2.0
// Changes of several files in a folder that happen together or not at all.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/status.h"

namespace metallic {

/// The new content of files, by their paths below the folder; nothing deletes the file.
using FileChanges = std::map<std::filesystem::path, std::optional<std::string>>;

/// Changes all the files or, if it fails before the first is changed, none. Each is replaced whole. If the process dies half-way,
/// `finish_changes` does the rest. Only for holders of a lock on the folder.
Status change_files(const std::filesystem::path& folder, const FileChanges& changes);

/// Finishes the changes of a process that died. Writers call it before they read.
Status finish_changes(const std::filesystem::path& folder);

}  // namespace metallic
