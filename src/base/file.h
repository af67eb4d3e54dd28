// Files: read whole within a bound, written whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/status.h"

namespace metallic {

/// The content of a regular file of at most `most` bytes.
Result<std::string> read_file(const std::filesystem::path& path, size_t most);

/// Makes the folder where it is missing, writes a temporary file in it, and renames it into place: whatever happens,
/// the path holds either what was there before or all of `content`.
Status write_file(const std::filesystem::path& path, std::string_view content);

/// Refuses a path that `write_file` could not write, before something long is computed for it. Makes the folder.
Status check_writable(const std::filesystem::path& path);

}  // namespace metallic
