// SPDX-License-Identifier: Apache-2.0
// Selection: problem × device × profiles × environment → decision, a pure function.
#pragma once

#include "dispatch/rule_table.h"
#include "ops/decision.h"
#include "ops/variant.h"

namespace metallic {

/// The first rule of the table that a variant accepts. The problem must be valid and of the table's key; the device must be the
/// one that the table was compiled for. Allocates nothing if no rule is refused, except the names of reduction orders that
/// batch_invariant compares.
Result<Choice> choose(const Problem& problem, const RuleTable& rules, const DeviceInfo& device);

/// The same choice, with the rule that made it, the ignored rules, and why every other candidate does not run.
Result<Decision> decide(const Problem& problem, const RuleTable& rules, const DeviceInfo& device);

/// Compiles the rules of the problem's key and decides. Always decides for a valid problem: the reference accepts what all others
/// reject. Precedence: environment › options › profiles › built-in rules. The first level with rules for the problem's key
/// supplies them all; if none of its rules can run, the next level does.
Result<Decision> select(const Problem& problem, const SelectionInputs& inputs);

}  // namespace metallic
