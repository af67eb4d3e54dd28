// SPDX-License-Identifier: Apache-2.0
// profile.json: the rules found for a device, each with its evidence, for people to read and edit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "device/info.h"
#include "ops/rule.h"

namespace metallic {

/// A threshold found in the samples, with its bootstrap interval.
struct Threshold {
  Op op{};
  DType dtype = DType::f32;
  int threads = 1;
  std::string layout;
  std::string name;   ///< softmax_vec_block, smalln_max_n, simd_m_min, simd_n_min
  std::string where;  ///< the problems it holds for, e.g. "rows ≤ 1"; empty for all
  int64_t value = 0;  ///< the value in use
  int64_t low = 0;    ///< 95 % interval
  int64_t high = 0;
  int64_t band_low = 0;  ///< values from here to `band_high` lose less than half a percent
  int64_t band_high = 0;
  double regret = 0;  ///< loss on the samples against the better family at every shape, a fraction
  bool kept_default = false;
  bool operator==(const Threshold&) const = default;
};

struct Profile {
  static constexpr int64_t kSchema = 1;
  static constexpr size_t kMostBytes = 1 << 20;

  DeviceInfo device;
  std::string fingerprint;
  std::string model = "any";  ///< the model whose shapes it was tuned for
  std::string build;
  std::string date;    ///< ISO 8601, UTC
  bool paired = true;  ///< false if it rests on unpaired results
  bool busy = false;   ///< measured on a busy machine, see profile/noise.h
  std::vector<RuleList> lists;
  std::vector<Threshold> thresholds;
};

std::string to_json(const Profile& profile);

/// Parses and checks a profile, except the names of variants and tunings: only the device that loads it knows them.
Result<Profile> parse_profile(std::string_view text, std::string_view where);

}  // namespace metallic
