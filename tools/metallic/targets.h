// SPDX-License-Identifier: Apache-2.0
// metallic bench --aims: checks our kernels against performance targets relative to the roofline, libraries, or other problems.
#pragma once

#include <string>

#include "base/status.h"
#include "tools/metallic/exit.h"
#include "tools/metallic/options.h"

namespace metallic::cli {

/// Times the shapes of each target in `file`. Prints for each problem our best kernel and the best library, and for each target
/// whether it is met. `only` selects targets whose names contain it; empty: all. Targets share the budget in proportion to their
/// problems. Returns check_failed if a target is missed. The file:
///   {"schema": 1, "aims": [{"name": …, "shapes": [labels…], "dtypes": [f32…], "cache": "warm" | "cold",
///     "against": "peers"   time of the best library / our time: at least `figure`, geometric mean over problems
///              | "floor"   roofline / our time: at least, geometric mean
///              | "f32"     our time in f32 / our time in the other type: at least, geometric mean
///              | "full"    our time of a causal problem / that of the full one: at most, each
///     "figure": number, "source": where the target comes from}, …]}
Result<Exit> bench_targets(const std::string& file, const std::string& only, SampleOptions sampling, bool json);

}  // namespace metallic::cli
