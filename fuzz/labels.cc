// SPDX-License-Identifier: Apache-2.0
// Fuzzes labels: an accepted label is a valid problem whose label parses to the same problem.
#include "ops/label.h"
#include "property.h"

using namespace metallic;

void run(std::string_view text) {
  const auto problems = parse_labels(text);
  if (!problems) return ONE_LINE(problems);
  PROPERTY(!problems->empty() && problems->size() <= 10'000);
  // A sample: a range may have thousands.
  for (size_t i = 0; i < problems->size(); i += 1 + problems->size() / 16) {
    const Problem& problem = (*problems)[i];
    PROPERTY(validate(problem).has_value());
    const auto again = parse_label(label(problem));
    PROPERTY(again.has_value());
    PROPERTY(*again == problem);
    const Work done = work(problem);
    PROPERTY(done.operations >= 0 && done.flops >= 0 && done.bytes >= 0);
    for (const int64_t bytes : operand_bytes(problem)) PROPERTY(bytes >= 0);
    for (const Axis axis : kAxes) PROPERTY(value(problem, axis).value_or(0) >= 0);
  }
}
