// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/acceptance.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>

namespace metallic::tune {

double AcceptanceTest::threshold(double standard_error) const {
  const double score = boost::math::quantile(boost::math::complement(boost::math::normal(), alpha / comparisons));
  return std::max(score * standard_error, min_gain);
}

}  // namespace metallic::tune
