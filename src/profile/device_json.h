// device.json: the facts and measured ceilings of the device that samples beside it were taken on, and how calm it was.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "device/info.h"
#include "ops/problem.h"
#include "base/status.h"
#include "base/json.h"
#include "profile/noise.h"

namespace metallic {

/// What the machine can do at most, measured with all threads of the run.
struct Roofline {
  double read_bytes_per_s = 0;
  double copy_bytes_per_s = 0;  ///< bytes read plus bytes written
  double flops_per_s = 0;       ///< f32 fused multiply-adds, two operations each
  bool operator==(const Roofline&) const = default;
};

struct DeviceRecord {
  DeviceFacts facts;
  Roofline roofline;
  int threads = 1;
  std::string model = "any";
  std::string build;
  std::string date;
  uint64_t seed = 0;
  std::optional<NoiseRecord> noise;  ///< absent where nobody watched: samples collected elsewhere
};

/// The facts that a fingerprint is made of and the libraries that were loaded, as JSON members and back.
Json facts_json(const DeviceFacts& facts);
Result<DeviceFacts> parse_facts(const JsonObject& object);

/// The least time in ns that the machine's ceilings allow a problem, where they are known and were measured with as many threads.
std::optional<double> roofline_ns(const Problem& problem, const DeviceRecord& device);

std::string to_json(const DeviceRecord& record);
Result<DeviceRecord> parse_device_record(std::string_view text, std::string_view where);

}  // namespace metallic
