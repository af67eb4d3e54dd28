// SPDX-License-Identifier: Apache-2.0
#include "tuner/regression/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tuner/stats/autocorrelation.h"
#include "tuner/stats/signed_rank.h"

namespace metallic::tune {
namespace {

std::string percent(double log_ratio) { return fmt::format("{:+.1f} %", std::expm1(log_ratio) * 100); }

}  // namespace

std::string_view name(Finding finding) {
  switch (finding) {
    case Finding::ok: return "ok";
    case Finding::slower: return "slower";
    case Finding::undecided: return "undecided";
  }
  return "unknown";
}

std::string_view name(GateVerdict verdict) {
  switch (verdict) {
    case GateVerdict::pass: return "pass";
    case GateVerdict::fail: return "fail";
    case GateVerdict::inconclusive: return "inconclusive";
  }
  return "unknown";
}

Gate::Gate(size_t benchmarks, double tau) : tau_(tau), blocks_(benchmarks), assessments_(benchmarks), wants_(benchmarks, true) {}

bool Gate::wants(size_t benchmark) const { return wants_[benchmark] && next_ < kLooks.size(); }

Gate Gate::of_recorded(std::span<const std::vector<double>> differences, double tau) {
  Gate gate(differences.size(), tau);
  for (size_t b = 0; b < differences.size(); ++b)
    for (const double difference : differences[b])
      if (!gate.accept(b, difference)) break;
  gate.finish();
  return gate;
}

bool Gate::accept(size_t benchmark, double difference) {
  if (std::isfinite(difference)) {
    blocks_[benchmark].push_back(difference);
    return true;
  }
  wants_[benchmark] = false;
  Assessment& a = assessments_[benchmark];
  a.blocks = blocks_[benchmark].size();
  a.reason = fmt::format("block {} is no ratio of two positive times: nothing is decided on such data", a.blocks + 1);
  return false;
}

void Gate::add(size_t benchmark, double difference) {
  if (!wants(benchmark)) return;
  accept(benchmark, difference);
  const auto ready = [&](size_t b) { return !wants_[b] || blocks_[b].size() >= kLooks[next_].blocks; };
  for (size_t b = 0; b < blocks_.size(); ++b)
    if (!ready(b)) return;
  const bool last = next_ + 1 == kLooks.size();
  look(kLooks[next_].alpha, last);
  ++next_;
}

void Gate::finish() {
  double left = 0;
  for (; next_ < kLooks.size(); ++next_) left += kLooks[next_].alpha;
  if (left > 0) look(left, /*last=*/true);
}

// The mean autocorrelation over all benchmarks, plus one standard error. Fifteen blocks say little about their own
// autocorrelation; the blocks of all benchmarks, timed in turn on one machine, say more.
double Gate::pooled_autocorrelation() const {
  double sum = 0, count = 0;
  for (const auto& values : blocks_) {
    sum += static_cast<double>(values.size()) * unbiased_rank_autocorrelation(values);
    count += static_cast<double>(values.size());
  }
  return count == 0 ? 0 : sum / count + 1 / std::sqrt(count);
}

void Gate::look(double alpha, bool last) {
  const double pooled = pooled_autocorrelation();
  for (size_t b = 0; b < blocks_.size(); ++b) {
    if (!wants_[b]) continue;
    Assessment& a = assessments_[b];
    a.blocks = blocks_[b].size();
    if (a.blocks == 0) continue;
    a.inflation = variance_inflation(std::max(pooled, unbiased_rank_autocorrelation(blocks_[b])));
    const Location location = hodges_lehmann(blocks_[b], kTail, a.inflation);
    a.estimate = location.estimate, a.low = location.low, a.high = location.high;
    a.p = a.blocks < kLeastBlocks ? 1 : signed_rank_p(blocks_[b], a.inflation);
  }

  // Holm's procedure: the least p against alpha / m, the next against alpha / (m − 1), until one is above. A benchmark found
  // slower at an earlier look stays found and leaves the m; one that stopped for another reason stays among them.
  std::vector<size_t> order;
  size_t hypotheses = blocks_.size();
  for (size_t b = 0; b < blocks_.size(); ++b) {
    if (assessments_[b].finding == Finding::slower) --hypotheses;
    if (wants_[b]) order.push_back(b);
  }
  std::ranges::sort(order, std::less(), [&](size_t b) { return assessments_[b].p; });
  bool significant = true;
  for (const size_t b : order) {
    Assessment& a = assessments_[b];
    significant = significant && a.p <= alpha / static_cast<double>(hypotheses);
    if (significant) --hypotheses;
    const double counts = std::log1p(tau_);
    if (a.blocks < kLeastBlocks) {
      if (last) a.reason = fmt::format("{} blocks: at least {} are needed", a.blocks, kLeastBlocks);
    } else if (significant && a.estimate > counts) {
      a.finding = Finding::slower;
      a.reason = fmt::format("slower by {} (p = {:.1g})", percent(a.estimate), a.p);
    } else if (a.high < counts) {
      a.finding = Finding::ok;
      a.reason = fmt::format("not slower by {}", percent(counts));
    } else if (last && a.estimate <= counts && a.high < std::log1p(2 * tau_)) {
      a.finding = Finding::ok;
      a.reason = fmt::format("not slower by {}", percent(std::log1p(2 * tau_)));
    } else if (last) {
      a.reason = std::isfinite(a.high) ? fmt::format("the change may be from {} to {}: more blocks or a quieter machine needed",
                                                     percent(a.low), percent(a.high))
                                       : "blocks are too correlated: more blocks or a quieter machine needed";
    }
    if (last || a.finding != Finding::undecided) wants_[b] = false;
  }
}

GateVerdict Gate::verdict() const {
  const auto any = [&](Finding finding) {
    return std::ranges::find(assessments_, finding, &Assessment::finding) != assessments_.end();
  };
  if (any(Finding::slower)) return GateVerdict::fail;
  return assessments_.empty() || any(Finding::undecided) ? GateVerdict::inconclusive : GateVerdict::pass;
}

}  // namespace metallic::tune
