// SPDX-License-Identifier: Apache-2.0
// The record: the problems that an application ran and how often, as a list that `--shapes` takes with counts as weights.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "ops/problem.h"

namespace metallic {

/// A problem as a line of text has it; `rest` is what its label and type leave out, e.g. "in_stride=1024 out=f32".
struct RecordKey {
  std::string label;
  DType dtype = DType::f32;
  std::string rest;
  auto operator<=>(const RecordKey&) const = default;
};
RecordKey record_key(const Problem& problem);

using Record = std::map<RecordKey, uint64_t>;  ///< runs of each problem

/// A record's file is read up to this size, by `--shapes` too.
inline constexpr size_t kMostRecordBytes = 1 << 20;

/// `label count dtype  # op rest`, most runs first. What `--shapes` would not take any more (over 10,000 lines or 1 MiB) is
/// left out and counted in a comment.
std::string to_text(const Record& record);

/// Refuses a text that `to_text` did not write, so that a wrong name does not cost somebody a file.
Result<Record> parse_record(std::string_view text, std::string_view where);

/// Adds the counts of `from`; they stay at 2^64 − 1 where they would pass it.
void add(Record& to, const Record& from);

}  // namespace metallic
