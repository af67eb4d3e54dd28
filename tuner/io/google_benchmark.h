// Google Benchmark's JSON, as the rows of results.csv.
#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"
#include "tuner/io/records.h"

namespace metallic {

/// One row for each group of repetitions of a benchmark named <group>/<variant>[@k=v;k=v]/<dtype>/<label>, in the order
/// of first appearance. Aggregate rows and the suffixes that the library adds are dropped, errored runs refused.
Result<std::vector<ResultRow>> parse_google_benchmark(std::string_view text, std::string_view where);

}  // namespace metallic
