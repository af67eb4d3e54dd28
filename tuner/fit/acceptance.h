// SPDX-License-Identifier: Apache-2.0
// The test that a change must pass before it replaces what is there.
#pragma once

namespace metallic::tune {

/// Accepts a gain that is above `min_gain` and significant at level `alpha`, one-sided, with Bonferroni's correction for the
/// number of comparisons that could have shown it.
struct AcceptanceTest {
  double min_gain;
  double alpha = 0.05;
  double comparisons = 1;

  /// The gain that a normal estimate with this standard error must exceed.
  double threshold(double standard_error) const;
  bool accepts(double gain, double standard_error) const { return gain > threshold(standard_error); }
};

}  // namespace metallic::tune
