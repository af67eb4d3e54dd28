// metallic bench --aims: are the kernels as fast as was set out? Figures by the machine's floor, by the best library or by
// another problem of ours, each against its aim.
#pragma once

#include <string>

#include "tools/metallic/command.h"
#include "tools/metallic/pipeline.h"

namespace metallic::cli {

/// Times the shapes of each aim in `file` and prints, problem by problem, our best kernel beside the best library, and the
/// verdict. `only`: aims whose names contain it; empty: all. The budget is shared among aims by their problems. Ends with
/// check_failed where an aim is missed. The file:
///   {"schema": 1, "aims": [{"name": …, "shapes": [labels…], "dtypes": [f32…], "cache": "warm" | "cold",
///     "against": "peers"   best library's time over ours: at least, geometric mean over problems
///              | "floor"   the machine's floor over our time: at least, geometric mean
///              | "f32"     our time in f32 over that in each other type: at least, geometric mean
///              | "full"    our time of a causal problem over that of the full one: at most, each
///     "figure": number, "source": where the aim comes from}, …]}
Result<Exit> bench_targets(const std::string& file, const std::string& only, SampleOptions sampling, bool json);

}  // namespace metallic::cli
