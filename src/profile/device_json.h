// SPDX-License-Identifier: Apache-2.0
// device.json: the device that samples were measured on, its roofline, and its noise during the run.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "device/info.h"
#include "ops/problem.h"
#include "profile/noise.h"

namespace metallic {

/// Peak rates of the machine, measured with all threads of the run.
struct Roofline {
  double read_bytes_per_s = 0;
  double copy_bytes_per_s = 0;  ///< bytes read plus bytes written
  double flops_per_s = 0;       ///< f32 fused multiply-adds, two operations each
  bool operator==(const Roofline&) const = default;
};

struct DeviceRecord {
  DeviceInfo device;
  Roofline roofline;
  int threads = 1;
  std::string model = "any";
  std::string build;
  std::string date;
  uint64_t seed = 0;
  std::optional<NoiseRecord> noise;  ///< absent for samples that were collected elsewhere
};

/// Writes and parses the facts of a fingerprint and the loaded libraries, as members of a JSON object.
Json device_info_json(const DeviceInfo& device);
Result<DeviceInfo> parse_device_info(const JsonObject& object);

/// The least time in ns that the roofline allows a problem, if it is known and was measured with as many threads.
std::optional<double> roofline_ns(const Problem& problem, const DeviceRecord& device);

std::string to_json(const DeviceRecord& record);
Result<DeviceRecord> parse_device_record(std::string_view text, std::string_view where);

}  // namespace metallic
