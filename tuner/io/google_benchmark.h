// SPDX-License-Identifier: Apache-2.0
// Converts the JSON of Google Benchmark to rows of results.csv.
#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"
#include "tuner/io/records.h"

namespace metallic {

/// One row for each benchmark and its repetitions, in the order of first appearance. Benchmarks are named
/// <group>/<variant>[@k=v;k=v]/<dtype>/<label>. Drops aggregate rows and the suffixes that Google Benchmark adds. A run that
/// ended in an error is an error.
Result<std::vector<ResultRow>> parse_google_benchmark(std::string_view text, std::string_view where);

}  // namespace metallic
