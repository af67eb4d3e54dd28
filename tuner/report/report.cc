// The report as one JSON block inside an embedded page: this file says what the page knows, page/ how it looks.
#include "tuner/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <tuple>

#include "profile/rule.h"
#include "tuner/fit/budget_replay.h"
#include "tuner/fit/curves.h"

extern "C" {
extern const char metallic_page_html[], metallic_page_html_end[];
extern const char metallic_page_css[], metallic_page_css_end[];
extern const char metallic_charts_js[], metallic_charts_js_end[];
extern const char metallic_lines_js[], metallic_lines_js_end[];
extern const char metallic_sections_js[], metallic_sections_js_end[];
extern const char metallic_chart_js[], metallic_chart_js_end[];
}

namespace metallic::tune {
namespace {

using Out = Json;

template <typename T>
Out optional(const std::optional<T>& value) {
  return value ? Out(*value) : Out(nullptr);
}

/// A median with the distribution-free 95 % interval that two order statistics of the sample enclose.
struct Middle {
  double time = std::numeric_limits<double>::quiet_NaN();  ///< JSON prints NaN as null, which the page draws as absent
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
  size_t samples = 0;
};

Middle middle(const Arm& arm) {
  std::vector<double> times;
  std::ranges::copy_if(arm.time, std::back_inserter(times), [](double time) { return std::isfinite(time) && time > 0; });
  std::ranges::sort(times);
  const size_t count = times.size();
  if (count == 0) return {};
  Middle result{.time = (times[(count - 1) / 2] + times[count / 2]) / 2, .samples = count};
  if (count > 1) {
    const double n = static_cast<double>(count), reach = 1.96 * std::sqrt(n);
    const double low = std::floor((n - reach) / 2) - 1, high = std::ceil((n + reach) / 2);
    result.low = times[static_cast<size_t>(std::max(low, 0.0))];
    result.high = times[static_cast<size_t>(std::min(high, n - 1))];
  }
  return result;
}

Out axes_json(const Problem& problem) {
  Out axes = Out::object();
  for (const Axis axis : kAxes)
    if (const auto at = value(problem, axis)) axes[std::string(name(axis))] = *at;
  return axes;
}

/// Of each variant the tuning of least median: what a chart draws as "the variant".
Out variants_json(const Series& series) {
  std::map<std::string, std::pair<const Arm*, Middle>> best;
  for (const Arm& arm : series.arms) {
    const Middle here = middle(arm);
    if (here.samples == 0) continue;
    const auto [at, fresh] = best.try_emplace(arm.choice.variant, &arm, here);
    if (!fresh && here.time < at->second.second.time) at->second = {&arm, here};
  }
  Out variants = Out::array();
  for (const auto& [variant, found] : best) {
    const auto& [arm, here] = found;
    variants.push_back({{"variant", variant},
                        {"tuning", arm->choice.tuning},
                        {"time", here.time},
                        {"low", here.low},
                        {"high", here.high},
                        {"samples", here.samples}});
  }
  return variants;
}

Out series_json(const Series& series, const Course::Part* part) {
  const Problem& problem = series.problem;
  const Work needed = work(problem);
  return {{"op", name(problem.op())},
          {"dtype", name(problem.dtype)},
          {"threads", problem.threads},
          {"layout", layout(problem)},
          {"where", held_fixed(problem)},
          {"axes", axes_json(problem)},
          {"label", series.label},
          {"cache", series.cache},
          {"weight", series.weight},
          {"blocks", series.blocks()},
          {"screened", part ? Out(part->screened) : Out(nullptr)},
          {"last", part ? Out(part->last) : Out(nullptr)},
          {"flops", needed.flops},
          {"bytes", needed.bytes},
          {"variants", variants_json(series)}};
}

Out choice_json(const Choice& choice) { return {{"variant", choice.variant}, {"tuning", choice.tuning}}; }

Out verdict_json(const Verdict& verdict, const DeviceRecord& device) {
  const Series& series = *verdict.series;
  const auto arm = std::ranges::find(series.arms, verdict.chosen, &Arm::choice);
  const auto floor = roofline_ns(series.problem, device);
  const Work needed = work(series.problem);
  Out time = nullptr, fraction = nullptr;
  if (arm != series.arms.end()) {
    const Middle here = middle(*arm);
    time = here.time;
    if (floor && here.samples > 0) fraction = *floor / here.time;
  }
  return {{"op", name(series.problem.op())},
          {"label", series.label},
          {"dtype", name(series.problem.dtype)},
          {"layout", layout(series.problem)},
          {"cache", series.cache},
          {"weight", series.weight},
          {"bytes", needed.bytes},
          {"flops", needed.flops},
          {"chosen", choice_json(verdict.chosen)},
          {"best", choice_json(verdict.best)},
          {"default", choice_json(verdict.default_choice)},
          {"regret", optional(verdict.regret)},
          {"default_regret", optional(verdict.default_regret)},
          {"unseen_regret", optional(verdict.unseen_regret)},
          {"time", time},
          {"floor", optional(floor)},
          {"fraction", fraction}};
}

// What tells a curve from others but its axis; series of equal keys lie on it.
using CurveKey = std::tuple<Op, DType, int, std::string, std::string, std::string>;

std::map<CurveKey, double> curve_weights(const Measurements& measurements) {
  std::map<CurveKey, double> weights;
  for (const Series& series : measurements.series) {
    const Problem& problem = series.problem;
    weights[{problem.op(), problem.dtype, problem.threads, layout(problem), series.cache, held_fixed(problem)}] += series.weight;
  }
  return weights;
}

// Curves that people look at: of three points and more, first those that the model weighs and those that cross.
std::vector<std::pair<const Curve*, double>> shown_curves(const Analysis& analysis, const Measurements& measurements) {
  constexpr size_t kLeastPoints = 3;
  const auto weights = curve_weights(measurements);
  std::vector<std::pair<const Curve*, double>> shown;
  for (const Curve& curve : analysis.curves) {
    if (curve.points.size() < kLeastPoints) continue;
    const auto weight = weights.find({curve.op, curve.dtype, curve.threads, curve.layout, curve.cache, curve.where});
    shown.push_back({&curve, weight == weights.end() ? 0 : weight->second});
  }
  std::ranges::stable_sort(shown, std::greater(), [](const auto& each) {
    const auto& [curve, weight] = each;
    return std::tuple(weight > 0 || curve->crossover, weight, curve->points.size());
  });
  return shown;
}

Out curve_json(const Curve& curve, double weight) {
  Out points = Out::array();
  for (const Curve::Point& point : curve.points)
    points.push_back({{"x", point.x},
                      {"log_ratio", point.log_ratio},
                      {"low", point.low},
                      {"high", point.high},
                      {"time_a", point.time_a},
                      {"time_b", point.time_b}});
  return {{"op", name(curve.op)},
          {"dtype", name(curve.dtype)},
          {"threads", curve.threads},
          {"layout", curve.layout},
          {"cache", curve.cache},
          {"axis", name(curve.axis)},
          {"where", curve.where},
          {"weight", weight},
          {"a", curve.family_a},
          {"b", curve.family_b},
          {"crossover", optional(curve.crossover)},
          {"crossover_low", optional(curve.crossover_low)},
          {"crossover_high", optional(curve.crossover_high)},
          {"points", std::move(points)}};
}

Out threshold_json(const Threshold& threshold) {
  return {{"op", name(threshold.op)},
          {"dtype", name(threshold.dtype)},
          {"threads", threshold.threads},
          {"layout", threshold.layout},
          {"name", threshold.name},
          {"where", threshold.where},
          {"value", threshold.value},
          {"low", threshold.low},
          {"high", threshold.high},
          {"band_low", threshold.band_low},
          {"band_high", threshold.band_high},
          {"regret", threshold.regret},
          {"kept_default", threshold.kept_default}};
}

Out list_json(const RuleList& list) {
  Out rules = Out::array();
  for (const Rule& rule : list.rules)
    rules.push_back({{"text", to_string(rule)},
                     {"use", rule.use},
                     {"regret", optional(rule.evidence.regret)},
                     {"default_regret", optional(rule.evidence.default_regret)},
                     {"margin", optional(rule.evidence.margin)},
                     {"samples", rule.evidence.samples},
                     {"note", rule.evidence.note}});
  return {{"op", name(list.key.op)},   {"dtype", name(list.key.dtype)},       {"threads", list.key.threads},
          {"layout", list.key.layout}, {"numerics", name(list.key.numerics)}, {"rules", std::move(rules)}};
}

Out summary_json(const RegretSummary& summary) {
  return {{"mean", summary.mean},   {"mean_low", summary.mean_low}, {"mean_high", summary.mean_high},
          {"p95", summary.p95},     {"p95_low", summary.p95_low},   {"p95_high", summary.p95_high},
          {"worst", summary.worst}, {"series", summary.series}};
}

Out course_json(const Course& course) {
  Out moments = Out::array();
  for (const Course::Moment& moment : course.moments)
    moments.push_back({{"at_s", moment.at_s}, {"blocks", moment.blocks}, {"residual", moment.expected_residual}});
  return moments;
}

Out noise_with_judgement(const std::optional<NoiseRecord>& noise) {
  if (!noise) return nullptr;
  const Judgement judgement = judge(*noise);
  Out json = noise_json(*noise);
  json["trust"] = name(judgement.trust);
  json["why"] = judgement.why;
  json["widening"] = judgement.widening;
  return json;
}

Out measurements_json(const Measurements& measurements) {
  size_t arms = 0, fewest = std::numeric_limits<size_t>::max(), most = 0;
  for (const Series& series : measurements.series) {
    arms += series.arms.size();
    fewest = std::min(fewest, series.blocks());
    most = std::max(most, series.blocks());
  }
  return {{"paired", measurements.paired},
          {"device", measurements.device},
          {"build", measurements.build},
          {"timed", measurements.timed},
          {"series", measurements.series.size()},
          {"arms", arms},
          {"fewest_blocks", most == 0 ? 0 : fewest},
          {"most_blocks", most}};
}

Out device_json(const DeviceRecord& device) {
  return {{"device", device_info_json(device.device)},
          {"ceilings",
           {{"read", device.roofline.read_bytes_per_s},
            {"copy", device.roofline.copy_bytes_per_s},
            {"flops", device.roofline.flops_per_s}}},
          {"threads", device.threads},
          {"model", device.model},
          {"build", device.build},
          {"date", device.date},
          {"noise", noise_with_judgement(device.noise)},
          {"seed", std::to_string(device.seed)}};  // as text: JavaScript's numbers would round 64 bits
}

template <typename Items, typename ToJson>
Out all(const Items& items, ToJson to_json) {
  Out array = Out::array();
  for (const auto& item : items) array.push_back(to_json(item));
  return array;
}

/// JSON that may stand in a script element: without a '<', which it has only inside strings, nothing can end the element.
std::string script_safe(const Out& json) {
  std::string text;
  for (const char c : json.dump(-1, ' ', false, Out::error_handler_t::replace)) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

/// Replaces each `{{name}}` of the template in one pass, so that what is put in is never searched itself.
std::string fill(std::string_view page, const std::map<std::string_view, std::string_view>& parts) {
  std::string text;
  for (;;) {
    const size_t open = page.find("{{");
    const size_t close = page.find("}}", open);
    if (open == page.npos || close == page.npos) return text.append(page);
    text.append(page.substr(0, open));
    if (const auto part = parts.find(page.substr(open + 2, close - open - 2)); part != parts.end()) text.append(part->second);
    page.remove_prefix(close + 2);
  }
}

}  // namespace

std::string report_html(const Measurements& measurements, const Analysis& analysis, const Profile& profile,
                        const DeviceRecord& device) {
  const Course of_run = measurements.paired ? course(measurements) : Course();
  Out series = Out::array(), curves = Out::array();
  for (size_t i = 0; i < measurements.series.size(); ++i)
    series.push_back(series_json(measurements.series[i], i < of_run.parts.size() ? &of_run.parts[i] : nullptr));
  for (const auto& [curve, weight] : shown_curves(analysis, measurements)) curves.push_back(curve_json(*curve, weight));
  const Out data = {
      {"profile",
       {{"fingerprint", profile.fingerprint}, {"model", profile.model}, {"build", profile.build}, {"date", profile.date}}},
      {"paired", measurements.paired && profile.paired},
      {"device", device_json(device)},
      {"measurements", measurements_json(measurements)},
      {"regret",
       {{"tuned", summary_json(analysis.regret)},
        {"unseen", summary_json(analysis.unseen_regret)},
        {"default", summary_json(analysis.default_regret)}}},
      {"autocorrelation", analysis.autocorrelation},
      {"moments", course_json(of_run)},
      {"thresholds", all(analysis.thresholds, threshold_json)},
      {"series", std::move(series)},
      {"curves", std::move(curves)},
      {"lists", all(analysis.lists, list_json)},
      {"verdicts", all(analysis.verdicts, [&](const Verdict& verdict) { return verdict_json(verdict, device); })}};
  const std::string json = script_safe(data);
  const auto text = [](const char* begin, const char* end) { return std::string_view(begin, static_cast<size_t>(end - begin)); };
  return fill(text(metallic_page_html, metallic_page_html_end),
              {{"css", text(metallic_page_css, metallic_page_css_end)},
               {"chart", text(metallic_chart_js, metallic_chart_js_end)},
               {"charts", text(metallic_charts_js, metallic_charts_js_end)},
               {"lines", text(metallic_lines_js, metallic_lines_js_end)},
               {"sections", text(metallic_sections_js, metallic_sections_js_end)},
               {"data", json}});
}

}  // namespace metallic::tune
