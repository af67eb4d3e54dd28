// SPDX-License-Identifier: Apache-2.0
// Memory that must not grow: the exact workspace of every candidate on fixed problems, and what stays resident, against a
// committed table.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/status.h"

namespace metallic::validation {

/// One line of the table. For `workspace`, bytes that a candidate's run needs on a machine with caches of 32 KiB, 1 MiB and
/// 32 MiB, whatever this one has. For `resident`, the most that runs of all problems of the table may leave behind.
struct MemoryRow {
  std::string what;  ///< "workspace" or "resident"
  std::string label;
  std::string dtype;
  int threads = 0;
  std::string target;  ///< the ISA
  std::string variant;
  std::string tuning;
  int64_t bytes = 0;

  /// All but the bytes, for people and for finding the row.
  std::string key() const;
};

/// The committed table, tuner/verify/workspace_table.csv.
Result<std::vector<MemoryRow>> committed_memory();
Result<std::vector<MemoryRow>> parse_memory(std::string_view text, std::string_view where);
std::string to_csv(const std::vector<MemoryRow>& rows);

/// The rows as they are now, for the ISAs that this machine runs. The resident row is what the runs took now, rounded up to
/// 1 MiB; runs happen on the executor, whose threads exist before.
Result<std::vector<MemoryRow>> measure_memory(Executor& executor);

/// What is wrong: rows that need more than the table says, and rows that it lacks, a line each. Targets that only one
/// of the two has are ignored.
std::vector<std::string> memory_growth(const std::vector<MemoryRow>& measured, const std::vector<MemoryRow>& committed);

}  // namespace metallic::validation
