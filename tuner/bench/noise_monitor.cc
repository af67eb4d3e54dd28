// SPDX-License-Identifier: Apache-2.0
// Statistics of the reference workload's readings: undisturbed time, disturbed and lost shares, drift, autocorrelation.
#include "tuner/bench/noise_monitor.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <span>
#include <thread>

#include "tuner/bench/clock.h"
#include "tuner/stats/autocorrelation.h"
#include "tuner/stats/quantile.h"

namespace metallic {
namespace {

// Undisturbed readings repeat within 1 %. Another thread on the same core adds 20 % or more, a lost time slice a factor of 50.
constexpr double kDisturbed = 1.15, kLost = 2;

// The undisturbed time is the 10th percentile. If programs compete for each core, few readings are undisturbed; the minimum may
// come from a short boost of the clock.
constexpr double kUndisturbedQuantile = 0.1;

// How many readings on each side a reading is compared with. If the clock slows down for good, the level follows within this many
// blocks: `drift` reports the change, and the rest of the run is not disturbed.
constexpr size_t kAround = 16;

double quantile_of(std::span<const double> values, double q) {
  std::vector<double> copy(values.begin(), values.end());
  return tune::quantile(copy, q);
}

double undisturbed(std::span<const double> readings) { return quantile_of(readings, kUndisturbedQuantile); }

double level_around(std::span<const double> readings, size_t at) {
  const size_t begin = at - std::min(at, kAround), end = std::min(readings.size(), at + kAround + 1);
  return undisturbed(readings.subspan(begin, end - begin));
}

// Cuts readings at the limit of a lost one: time slices lost to other programs are not a slower clock.
std::vector<double> without_losses(std::span<const double> readings) {
  std::vector<double> cut(readings.begin(), readings.end());
  for (const double most = kLost * undisturbed(readings); double& reading : cut) reading = std::min(reading, most);
  return cut;
}

// The largest change between thirds of the run, so that a slow middle shows as well as a slow end.
double drift_of(const std::vector<double>& cut) {
  const std::span<const double> readings = cut;
  constexpr size_t kLeast = 5;  // fewer readings in a third give no level
  const size_t third = readings.size() / 3;
  if (third < kLeast) return 0;
  std::array<double, 3> levels;
  for (size_t i = 0; i < 3; ++i) levels[i] = std::log(undisturbed(readings.subspan(i * third, third)));
  double drift = 0;
  for (size_t later = 1; later < 3; ++later)
    for (size_t earlier = 0; earlier < later; ++earlier)
      if (const double change = levels[later] - levels[earlier]; std::abs(change) > std::abs(drift)) drift = change;
  return drift;
}

}  // namespace

void NoiseReadings::take(double reading_s) {
  if (std::isfinite(reading_s) && reading_s > 0) readings_.push_back(reading_s);
}

bool NoiseReadings::is_disturbed(double reading_s) const {
  return !readings_.empty() && reading_s > kDisturbed * level_around(readings_, readings_.size() - 1);
}

bool NoiseReadings::affords_reading(double elapsed_s, double reading_s) {
  constexpr double kMostShare = 0.05;
  return reading_s <= kMostShare * elapsed_s;
}

double NoiseReadings::pause_s(int attempt, double elapsed_s, double waited_s) {
  constexpr double kMostShare = 0.1;
  const double pause = std::ldexp(1e-3, std::min(attempt, 6));
  return waited_s + pause <= kMostShare * elapsed_s ? pause : 0;
}

NoiseRecord NoiseReadings::record() const {
  NoiseRecord record{.readings = static_cast<int64_t>(readings_.size())};
  if (readings_.empty()) return record;
  const std::span<const double> readings = readings_;
  double disturbed = 0, lost = 0;
  for (size_t i = 0; i < readings.size(); ++i) {
    const double level = level_around(readings, i);
    disturbed += readings[i] > kDisturbed * level;
    lost += readings[i] > kLost * level;
  }
  record.disturbed_share = disturbed / static_cast<double>(readings.size());
  record.lost_share = lost / static_cast<double>(readings.size());
  record.drift = drift_of(without_losses(readings));
  record.autocorrelation = tune::rank_autocorrelation(readings);
  record.spread = std::log(quantile_of(readings, 0.9) / quantile_of(readings, 0.1));
  return record;
}

NoiseMonitor::NoiseMonitor(Executor& executor)
    : reference_(executor), begin_s_(now_s()), cpu_at_begin_(cpu_time()), throttling_at_begin_(cpu::cpu_throttling()) {}

double NoiseMonitor::before_block() {
  const double begin = now_s();
  if (!NoiseReadings::affords_reading(begin - begin_s_, reading_s_)) return 0;
  double reading = reference_.read();
  readings_.take(reading);
  const double read = now_s();
  reading_s_ += read - begin;
  const double waited_before = waited_s_;
  for (int attempt = 0; readings_.is_disturbed(reading); ++attempt) {
    const double pause = NoiseReadings::pause_s(attempt, now_s() - begin_s_, waited_s_);
    if (pause == 0) break;
    std::this_thread::sleep_for(std::chrono::duration<double>(pause));
    reading = reference_.read();
    waited_s_ = waited_before + now_s() - read;
  }
  return now_s() - begin;
}

NoiseRecord NoiseMonitor::record() const {
  NoiseRecord record = readings_.record();
  record.waited_s = waited_s_;
  if (const auto cpu = cpu_time(); cpu && cpu_at_begin_) {
    record.cpus = cpu->cpus;
    if (const auto shares = shares_between(*cpu_at_begin_, *cpu)) {
      record.steal_share = shares->steal;
      record.others_share = shares->others;
    }
  }
  if (const auto now = cpu::cpu_throttling(); now && throttling_at_begin_) {
    const auto periods = static_cast<double>(now->periods - throttling_at_begin_->periods);
    const auto throttled = static_cast<double>(now->throttled - throttling_at_begin_->throttled);
    record.throttled_share = periods > 0 ? std::clamp(throttled / periods, 0.0, 1.0) : 0;
    record.throttled_s = std::max(0.0, now->seconds - throttling_at_begin_->seconds);
  }
  return record;
}

}  // namespace metallic
