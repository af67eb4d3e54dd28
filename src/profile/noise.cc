// SPDX-License-Identifier: Apache-2.0
// Judges a noise record: thresholds for disturbed and busy machines, and the line that says why.
#include "profile/noise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace metallic {
namespace {

// Shared virtual machines jitter even when idle. On one with two cores 18 to 28 % of the readings were disturbed, by factors
// of 1.2 to 1.5, while other programs used a tenth of a core. Paired blocks tolerate that, and waiting does not help, so it is
// not busy. Programs on the same machine cost whole time slices: with one busy loop beside two threads 7 to 16 % of the readings
// took more than twice as long, with two loops 50 to 80 %. Samples are longer than a reading, so more of them are hit.
constexpr double kDisturbed = 0.10;      // of readings disturbed, from which a machine is not quiet
constexpr double kBusyDisturbed = 0.25;  // of readings disturbed, if other programs run: waiting helps
constexpr double kLost = 0.04;           // of readings lost, from which a median of few blocks is unsafe
constexpr double kOthers = 0.15;         // of the CPUs' time; an idle desktop uses a few percent
constexpr double kBusyOthers = 0.50;     // of the CPUs' time; they share caches and memory even if no thread is preempted
constexpr double kSteal = 0.02, kBusySteal = 0.10;
// When a quota runs out, all threads stand still for tens of ms, and a kernel is charged for what others used before.
constexpr double kThrottled = 0, kBusyThrottled = 0.01;  // of the quota's periods
// A laptop that leaves its boost clock becomes 20 to 30 % slower. Paired samples see the same clock, so a ratio changes less.
constexpr double kDrift = 0.05, kBusyDrift = 0.5;
// Heat and hardware limits are temporary, so measurements under them mislead; the power cap belongs to the card and the workload.
constexpr double kHeld = 0.05, kPowerCap = 0.10;  // of the readings
constexpr double kSpread = 0.03;                  // below this spread correlated readings need no wider intervals
constexpr double kMostCorrelation = 0.9;

// The lower bound of a share (Wilson, one-sided, 95 %): a few readings prove nothing.
double at_least(double share, int64_t readings) {
  if (readings <= 0) return 0;
  constexpr double z = 1.645;
  const auto n = static_cast<double>(readings);
  const double middle = share + z * z / (2 * n), reach = z * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  return std::max(0.0, (middle - reach) / (1 + z * z / n));
}

double factor_of(double autocorrelation, int64_t readings) {
  // Only if above what independent readings show by chance; negative correlation narrows nothing.
  const double by_chance = 2 / std::sqrt(static_cast<double>(std::max<int64_t>(readings, 1)));
  const double rho = std::min(autocorrelation, kMostCorrelation);
  return rho > by_chance ? std::sqrt((1 + rho) / (1 - rho)) : 1;
}

}  // namespace

std::string_view name(Trust trust) {
  switch (trust) {
    case Trust::quiet: return "calm";
    case Trust::disturbed: return "disturbed";
    case Trust::busy: return "busy";
  }
  return "";
}

Judgement judge(const NoiseRecord& noise) {
  const double disturbed = at_least(noise.disturbed_share, noise.readings), lost = at_least(noise.lost_share, noise.readings);
  const double others = noise.others_share.value_or(0), steal = noise.steal_share.value_or(0), drift = std::abs(noise.drift);
  const double throttled = noise.throttled_share.value_or(0);
  Judgement judgement;
  if (noise.spread > kSpread) judgement.widening = factor_of(noise.autocorrelation, noise.readings);
  // Half of it: a ratio changes at most as much as the clock, if one candidate is bound by memory and the other by compute, and
  // the mean of a run is halfway between its ends.
  judgement.shift = std::max(0.0, drift - kDrift) / 2;

  const GpuNoise gpu = noise.gpu.value_or(GpuNoise());
  const double held = std::max(at_least(gpu.heat_share, noise.readings), at_least(gpu.hardware_share, noise.readings));
  const double capped = at_least(gpu.power_cap_share, noise.readings);

  const bool contended =
      lost > kLost || (disturbed > kBusyDisturbed && others > kOthers) || others > kBusyOthers || steal > kBusySteal;
  const bool busy = contended || throttled > kBusyThrottled || drift > kBusyDrift || held > kHeld;
  if (busy)
    judgement.trust = Trust::busy;
  else if (disturbed > kDisturbed || others > kOthers || steal > kSteal || throttled > kThrottled || drift > kDrift ||
           judgement.widening > 1 || capped > kPowerCap)
    judgement.trust = Trust::disturbed;
  else
    return judgement;

  std::string& why = judgement.why;
  const auto add = [&why]<typename... Args>(fmt::format_string<Args...> format, Args&&... args) {
    why += why.empty() ? "" : ", ";
    fmt::format_to(std::back_inserter(why), format, std::forward<Args>(args)...);
  };
  if (disturbed > kDisturbed || lost > kLost)
    add("{:.0f} % of {} readings of the reference workload took over 1.15 times the undisturbed time",
        100 * noise.disturbed_share, noise.readings);
  if (lost > kLost) add("{:.0f} % over twice", 100 * noise.lost_share);
  if (others > kOthers) add("other programs used {:.1f} of {} cores", others * static_cast<double>(noise.cpus), noise.cpus);
  if (steal > kSteal) add("the hypervisor took {:.0f} % of the CPU time", 100 * steal);
  if (throttled > kThrottled)
    add("the CPU quota ran out in {:.1f} % of its periods and withheld {:.2f} s of CPU time", 100 * throttled,
        noise.throttled_s.value_or(0));
  const auto held_down = [&](std::string_view what, double share) {
    add("{} limited the clock in {:.0f} % of {} readings, to {} of {} MHz", what, 100 * share, noise.readings, gpu.least_mhz,
        gpu.most_mhz);
  };
  if (capped > kPowerCap) held_down("the power cap", gpu.power_cap_share);
  if (held > kHeld && gpu.heat_share > 0) held_down(fmt::format("heat of {} °C", gpu.most_celsius), gpu.heat_share);
  if (held > kHeld && gpu.hardware_share > 0) held_down("the hardware", gpu.hardware_share);
  if (drift > kDrift)
    add("the reference workload became {:.0f} % {}", 100 * std::expm1(drift), noise.drift > 0 ? "slower" : "faster");
  if (judgement.widening > 1 && !busy) add("slow readings cluster: intervals are {:.1f} times as wide", judgement.widening);
  if (busy)
    why = fmt::format("the machine was busy: {}: {}", why,
                      throttled > kBusyThrottled ? "use fewer threads or raise the quota"
                      : contended                ? "wait until it is idle"
                                                 : "let it cool down or settle");
  else
    why = fmt::format("the machine was disturbed: {}", why);
  return judgement;
}

Json noise_json(const NoiseRecord& noise) {
  Json json = {{"readings", noise.readings},     {"disturbed_share", noise.disturbed_share},
               {"lost_share", noise.lost_share}, {"waited_s", noise.waited_s},
               {"drift", noise.drift},           {"autocorrelation", noise.autocorrelation},
               {"spread", noise.spread},         {"cpus", noise.cpus}};
  if (noise.steal_share) json["steal_share"] = *noise.steal_share;
  if (noise.others_share) json["others_share"] = *noise.others_share;
  if (noise.throttled_share) json["throttled_share"] = *noise.throttled_share;
  if (noise.throttled_s) json["throttled_s"] = *noise.throttled_s;
  if (noise.gpu)
    json["gpu"] = {{"least_mhz", noise.gpu->least_mhz},
                   {"median_mhz", noise.gpu->median_mhz},
                   {"most_mhz", noise.gpu->most_mhz},
                   {"most_celsius", noise.gpu->most_celsius},
                   {"power_cap_share", noise.gpu->power_cap_share},
                   {"heat_share", noise.gpu->heat_share},
                   {"hardware_share", noise.gpu->hardware_share}};
  return json;
}

Result<NoiseRecord> parse_noise(const JsonObject& object) {
  constexpr double kMostLog = 100;
  NoiseRecord noise;
  METALLIC_TRY(noise.readings, object.integer("readings", 0, int64_t{1} << 40));
  METALLIC_TRY(noise.disturbed_share, object.number("disturbed_share", 0, 1));
  METALLIC_TRY(noise.lost_share, object.number("lost_share", 0, 1));
  METALLIC_TRY(noise.waited_s, object.number("waited_s", 0, 1e9));
  METALLIC_TRY(noise.drift, object.number("drift", -kMostLog, kMostLog));
  METALLIC_TRY(noise.autocorrelation, object.number("autocorrelation", -1, 1));
  METALLIC_TRY(noise.spread, object.number("spread", 0, kMostLog));
  METALLIC_TRY(noise.cpus, object.integer("cpus", 1, 1 << 20));
  METALLIC_CHECK(object.read_optional("steal_share", noise.steal_share, 0, 1));
  METALLIC_CHECK(object.read_optional("others_share", noise.others_share, 0, 1));
  METALLIC_CHECK(object.read_optional("throttled_share", noise.throttled_share, 0, 1));
  METALLIC_CHECK(object.read_optional("throttled_s", noise.throttled_s, 0, 1e12));
  if (object.has("gpu")) {
    constexpr int64_t kMostMhz = 1 << 20, kMostCelsius = 1000;
    METALLIC_TRY(const JsonObject gpu, object.object("gpu"));
    noise.gpu.emplace();
    METALLIC_TRY(noise.gpu->least_mhz, gpu.integer("least_mhz", 0, kMostMhz));
    METALLIC_TRY(noise.gpu->median_mhz, gpu.integer("median_mhz", 0, kMostMhz));
    METALLIC_TRY(noise.gpu->most_mhz, gpu.integer("most_mhz", 0, kMostMhz));
    METALLIC_TRY(noise.gpu->most_celsius, gpu.integer("most_celsius", 0, kMostCelsius));
    METALLIC_TRY(noise.gpu->power_cap_share, gpu.number("power_cap_share", 0, 1));
    METALLIC_TRY(noise.gpu->heat_share, gpu.number("heat_share", 0, 1));
    METALLIC_TRY(noise.gpu->hardware_share, gpu.number("hardware_share", 0, 1));
  }
  return noise;
}

}  // namespace metallic
