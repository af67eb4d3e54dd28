// SPDX-License-Identifier: Apache-2.0
#include "tuner/report/regret_json.h"

#include <nlohmann/json.hpp>

namespace metallic::tune {

Json to_json(const RegretSummary& summary, IntervalKeys keys) {
  Json json;
  const auto add = [&](const std::string& name, double value, double low, double high) {
    json[name] = value;
    if (keys == IntervalKeys::pair)
      json[name + "_interval"] = {low, high};
    else
      json[name + "_low"] = low, json[name + "_high"] = high;
  };
  add("mean", summary.mean, summary.mean_low, summary.mean_high);
  add("p95", summary.p95, summary.p95_low, summary.p95_high);
  json["worst"] = summary.worst;
  json["series"] = summary.series;
  return json;
}

}  // namespace metallic::tune
