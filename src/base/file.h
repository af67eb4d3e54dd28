// SPDX-License-Identifier: Apache-2.0
// Files: bounded reads and atomic writes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/status.h"

namespace metallic {

/// Reads a regular file of at most `most` bytes.
Result<std::string> read_file(const std::filesystem::path& path, size_t most);

/// Creates the folder if it is missing, writes a temporary file there and renames it into place. Whatever happens, the path holds
/// either its old content or all of the new one.
Status write_file(const std::filesystem::path& path, std::string_view content);

/// Fails if `write_file` could not write the path, for use before a long computation. Creates the folder.
Status check_writable(const std::filesystem::path& path);

}  // namespace metallic
