// SPDX-License-Identifier: Apache-2.0
// Files: bounded reads and atomic writes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/status.h"

namespace metallic {

/// The error `cannot <action> "<path>": <what errno says>`; its code is `not_found` if there is no such file.
tl::unexpected<Error> file_error(std::string_view action, const std::filesystem::path& path, int error);

/// Reads a regular file of at most `most` bytes.
Result<std::string> read_file(const std::filesystem::path& path, size_t most);

/// Reads a file of /proc or /sys, whose size the system does not tell before it is read.
Result<std::string> read_system_file(const std::filesystem::path& path, size_t most);

/// The text without the byte-order mark that editors and spreadsheets on Windows put before UTF-8.
std::string_view without_byte_order_mark(std::string_view text);

/// Creates the folder if it is missing, writes a temporary file there and renames it into place. Whatever happens, even a power
/// failure, the path holds either its old content or all of the new one.
Status write_file(const std::filesystem::path& path, std::string_view content);

/// Fails if `write_file` could not write the path, for use before a long computation. Creates the folder.
Status check_writable(const std::filesystem::path& path);

/// The folder of a file, "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& path);

/// Fails if something other than a regular file is at the path: renaming over a device or a pipe would remove it.
Status check_replaceable(const std::filesystem::path& path);

/// Makes the renames in a folder last through a power failure, where the file system can.
void sync_folder(const std::filesystem::path& folder);

/// A template for mkstemp and mkdtemp: the name of a temporary file or folder beside `path`.
std::string temporary_beside(const std::filesystem::path& path);

/// Deletes the temporary files and folders that killed writers left in a folder. Spares those of the last ten minutes, whose
/// writers may be alive.
void remove_leftovers(const std::filesystem::path& folder);

}  // namespace metallic
