#include "tune/analysis.h"

#include <algorithm>
#include <cmath>

#include "tune/curves.h"
#include "tune/fit.h"
#include "tune/op_rules.h"
#include "tune/statistics.h"

namespace metallic::tune {
namespace {

// The first rule that matches a series and whose candidate was timed there; null where none does.
const Rule* rule_of(const std::vector<Rule>& rules, const Series& series, Choice& choice) {
  for (const Rule& rule : rules) {
    if (!matches(rule, series.problem)) continue;
    for (const Arm& arm : series.arms)
      if (arm.choice.variant == rule.use && (rule.tuning.empty() || arm.choice.tuning == rule.tuning)) {
        choice = arm.choice;
        return &rule;
      }
  }
  return nullptr;
}

// Median log advantage of the choice over the best candidate of another variant; nothing where there is no other.
std::optional<double> margin(const Series& series, const Replicates& replicates, const Choice& choice) {
  double own = 0, other = std::numeric_limits<double>::infinity();
  for (size_t arm = 0; arm < series.arms.size(); ++arm) {
    const double time = replicates.log_time(0, arm);
    if (series.arms[arm].choice == choice)
      own = time;
    else if (series.arms[arm].choice.variant != choice.variant)
      other = std::min(other, time);
  }
  if (std::isinf(other)) return std::nullopt;
  return std::expm1(other - own);
}

// Weighted means over the series that a rule decides.
class EvidenceSum {
 public:
  void add(const Verdict& verdict, std::optional<double> margin_over_others) {
    const double weight = verdict.series->weight;
    add(regret_, verdict.regret, weight);
    add(default_regret_, verdict.default_regret, weight);
    add(margin_, margin_over_others, weight);
    for (const Arm& arm : verdict.series->arms)
      samples_ += std::ranges::count_if(arm.time, [](double t) { return !std::isnan(t); });
    ++series_;
  }
  Evidence evidence() const {
    return {.regret = mean(regret_),
            .default_regret = mean(default_regret_),
            .margin = mean(margin_),
            .samples = samples_,
            .note = series_ == 0 ? "not measured" : fmt::format("{} problem{}", series_, series_ == 1 ? "" : "s")};
  }

 private:
  struct Mean {
    double sum = 0;
    double weight = 0;
  };
  static void add(Mean& mean, std::optional<double> value, double weight) {
    if (value) mean.sum += weight * *value, mean.weight += weight;
  }
  static std::optional<double> mean(const Mean& m) { return m.weight > 0 ? std::optional(m.sum / m.weight) : std::nullopt; }

  Mean regret_, default_regret_, margin_;
  int64_t samples_ = 0;
  int series_ = 0;
};

bool covers(const Threshold& threshold, const Verdict& verdict) {
  const Problem& p = verdict.series->problem;
  if (p.op() != threshold.op || p.dtype != threshold.dtype || p.threads != threshold.threads || layout(p) != threshold.layout)
    return false;
  if (threshold.where == "weights in A") return p.matmul().weights_in_a();
  if (threshold.where == "weights in B") return !p.matmul().weights_in_a();
  return true;
}

}  // namespace

double total_weight(std::span<const Point> points) {
  double sum = 0;
  for (const Point& point : points) sum += point.series->weight;
  return sum;
}

void append_segments(std::vector<Rule>& rules, std::span<const Point> points, std::span<const Segment> segments, Axis axis,
                     std::optional<int64_t> last, std::span<const Range> within) {
  for (size_t i = 0; i < segments.size(); ++i) {
    std::optional<int64_t> high = last;
    if (i + 1 < segments.size()) {
      const auto before = static_cast<double>(points[segments[i].end - 1].x),
                 after = static_cast<double>(points[segments[i].end].x);
      high = std::max(points[segments[i].end - 1].x, static_cast<int64_t>(std::sqrt(before * after)));
    }
    Rule rule{.when = {within.begin(), within.end()}, .use = segments[i].choice.variant, .tuning = segments[i].choice.tuning};
    // Rules are tried in order, so that only the upper end needs saying.
    if (high) rule.when.push_back({.axis = axis, .high = high});
    rules.push_back(std::move(rule));
  }
}

Analysis analyze(const Measurements& measurements, const AnalysisOptions& options) {
  Analysis analysis;
  std::vector<Replicates> replicates;
  replicates.reserve(measurements.series.size());
  std::vector<Point> points;
  for (const Series& series : measurements.series) {
    replicates.emplace_back(series, options.bootstraps + 1, options.seed + replicates.size());
    if (!series.arms.empty()) points.push_back({.x = 0, .series = &series, .replicates = &replicates.back()});
  }

  std::vector<std::pair<RuleKey, std::vector<Point>>> groups;
  for (const Point& point : points) {
    const RuleKey key = rule_key(point.series->problem, Numerics::fast);
    auto group = std::ranges::find(groups, key, &std::pair<RuleKey, std::vector<Point>>::first);
    if (group == groups.end()) group = groups.insert(groups.end(), {key, {}});
    group->second.push_back(point);
  }
  for (const auto& [key, of_key] : groups) {
    const auto fit_rules = [&] {
      switch (key.op) {
        case Op::softmax: return softmax_rules(of_key, options);
        case Op::matmul: return matmul_rules(of_key, options);
        case Op::sdpa: break;
      }
      return sdpa_rules(of_key, options);
    };
    Fitted fitted = fit_rules();
    std::vector<EvidenceSum> sums(fitted.rules.size());
    for (const Point& point : of_key) {
      Verdict verdict{.series = point.series, .best = best_choice(*point.series)};
      const Rule* rule = rule_of(fitted.rules, *point.series, verdict.chosen);
      if (options.default_choice) verdict.default_choice = options.default_choice(point.series->problem);
      verdict.default_regret = cross_fitted_regret(*point.series, verdict.default_choice);
      if (rule) {
        verdict.regret = cross_fitted_regret(*point.series, verdict.chosen);
        sums[static_cast<size_t>(rule - fitted.rules.data())].add(verdict,
                                                                  margin(*point.series, *point.replicates, verdict.chosen));
      }
      analysis.verdicts.push_back(std::move(verdict));
    }
    for (size_t i = 0; i < sums.size(); ++i) fitted.rules[i].evidence = sums[i].evidence();
    analysis.lists.push_back({key, std::move(fitted.rules)});
    analysis.thresholds.insert(analysis.thresholds.end(), fitted.thresholds.begin(), fitted.thresholds.end());
  }

  std::vector<Scored> scored, scored_default;
  for (const Verdict& verdict : analysis.verdicts) {
    if (verdict.regret) scored.push_back({*verdict.regret, verdict.series->weight});
    if (verdict.default_regret) scored_default.push_back({*verdict.default_regret, verdict.series->weight});
  }
  analysis.regret = summarize(scored);
  analysis.default_regret = summarize(scored_default);
  for (Threshold& threshold : analysis.thresholds) {
    std::vector<Scored> covered;
    for (const Verdict& verdict : analysis.verdicts)
      if (verdict.regret && covers(threshold, verdict)) covered.push_back({*verdict.regret, verdict.series->weight});
    threshold.regret = summarize(covered).mean;
  }
  analysis.curves = curves(measurements, options.bootstraps, options.seed);
  return analysis;
}

}  // namespace metallic::tune
