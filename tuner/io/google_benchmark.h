// SPDX-License-Identifier: Apache-2.0
// Converts the JSON of Google Benchmark to rows of results.csv.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tuner/io/records.h"

namespace metallic {

/// Called with one line about a benchmark that was passed over: the file, the benchmark's whole name, and why.
using PassedOver = std::function<void(std::string_view line)>;

/// One row for each benchmark and its repetitions, in the order of first appearance. Benchmarks are named
/// <group>/<variant>[@k=v;k=v]/<dtype>/<label>. Drops aggregate rows and the suffixes that Google Benchmark adds. Passes over
/// runs that were skipped, ended in an error, have another name or no time; `passed_over` hears of each benchmark once. Errors:
/// other files, and those without any usable run.
Result<std::vector<ResultRow>> parse_google_benchmark(std::string_view text, std::string_view where,
                                                      const PassedOver& passed_over = {});

}  // namespace metallic
