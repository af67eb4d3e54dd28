// SPDX-License-Identifier: Apache-2.0
// The record: the problems that an application ran and how often, as a list that `--shapes` reads, with counts as weights.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "ops/problem.h"

namespace metallic {

/// A problem as a line of text; `rest` holds what its label and type omit, e.g. "in_stride=1024 out=f32".
struct RecordKey {
  std::string label;
  DType dtype = DType::f32;
  std::string rest;
  auto operator<=>(const RecordKey&) const = default;
};
RecordKey record_key(const Problem& problem);

using Record = std::map<RecordKey, uint64_t>;  ///< runs of each problem

/// The maximum size of a record file, for `--shapes` too.
inline constexpr size_t kMostRecordBytes = 1 << 20;

/// Lines of `label count dtype  # op rest`, most runs first. What `--shapes` would not accept (over 10,000 lines or 1 MiB) is
/// omitted and counted in a comment.
std::string to_text(const Record& record);

/// Rejects a text that `to_text` did not write, so that a wrong file name does not overwrite another file.
Result<Record> parse_record(std::string_view text, std::string_view where);

/// Adds the counts of `from`; sums saturate at 2^64 − 1.
void add(Record& to, const Record& from);

}  // namespace metallic
