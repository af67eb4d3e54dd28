// SPDX-License-Identifier: Apache-2.0
// The report as one JSON block inside an embedded page: this file collects the data, page/ shows it.
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

#include "ops/rule.h"
#include "tuner/fit/budget_replay.h"
#include "tuner/fit/curves.h"
#include "tuner/report/regret_json.h"
#include "tuner/stats/quantile.h"

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

template <typename T>
Json optional(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

// The median time of a candidate with its interval; nothing if it was not timed. One block has no interval: JSON prints NaN as
// null, which the page draws as absent.
std::optional<MedianInterval> median_time(const CandidateTimes& candidate) {
  std::vector<double> times;
  std::ranges::copy_if(candidate.time, std::back_inserter(times), [](double time) { return std::isfinite(time) && time > 0; });
  if (times.empty()) return std::nullopt;
  std::ranges::sort(times);
  MedianInterval found = median_interval(times);
  if (times.size() == 1) found.low = found.high = std::numeric_limits<double>::quiet_NaN();
  return found;
}

Json axes_json(const Problem& problem) {
  Json axes = Json::object();
  for (const Axis axis : kAxes)
    if (const auto at = value(problem, axis)) axes[std::string(name(axis))] = *at;
  return axes;
}

// The fastest tuning of each variant, which a chart draws as "the variant".
Json variants_json(const Series& series) {
  std::map<std::string, std::pair<const CandidateTimes*, MedianInterval>> best;
  for (const CandidateTimes& candidate : series.candidates) {
    const auto here = median_time(candidate);
    if (!here) continue;
    const auto [at, is_first] = best.try_emplace(candidate.config.variant, &candidate, *here);
    if (!is_first && here->median < at->second.second.median) at->second = {&candidate, *here};
  }
  Json variants = Json::array();
  for (const auto& [variant, found] : best) {
    const auto& [candidate, here] = found;
    variants.push_back({{"variant", variant},
                        {"tuning", candidate->config.tuning},
                        {"time", here.median},
                        {"low", here.low},
                        {"high", here.high},
                        {"samples", candidate->timed_blocks()}});
  }
  return variants;
}

Json series_json(const Series& series, const BudgetReplay::SeriesResidual* residual) {
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
          {"screened", residual ? Json(residual->screened) : Json(nullptr)},
          {"last", residual ? Json(residual->last) : Json(nullptr)},
          {"flops", needed.flops},
          {"bytes", needed.bytes},
          {"variants", variants_json(series)}};
}

Json config_json(const KernelConfig& config) { return {{"variant", config.variant}, {"tuning", config.tuning}}; }

Json verdict_json(const SeriesVerdict& verdict, const DeviceRecord& device) {
  const Series& series = *verdict.series;
  const CandidateTimes* chosen = series.find(verdict.chosen);
  const auto floor = roofline_ns(series.problem, device);
  const Work needed = work(series.problem);
  Json time = nullptr, fraction = nullptr;
  if (const auto here = chosen ? median_time(*chosen) : std::nullopt) {
    time = here->median;
    if (floor) fraction = *floor / here->median;
  }
  return {{"op", name(series.problem.op())},
          {"label", series.label},
          {"dtype", name(series.problem.dtype)},
          {"layout", layout(series.problem)},
          {"cache", series.cache},
          {"weight", series.weight},
          {"bytes", needed.bytes},
          {"flops", needed.flops},
          {"chosen", config_json(verdict.chosen)},
          {"best", config_json(verdict.best)},
          {"default", config_json(verdict.default_choice)},
          {"regret", optional(verdict.regret)},
          {"default_regret", optional(verdict.default_regret)},
          {"unseen_regret", optional(verdict.unseen_regret)},
          {"time", time},
          {"floor", optional(floor)},
          {"fraction", fraction}};
}

// The properties of a curve besides its axis; series of equal keys are on one curve.
using CurveKey = std::tuple<Op, DType, int, std::string, std::string, std::string>;

std::map<CurveKey, double> curve_weights(const Measurements& measurements) {
  std::map<CurveKey, double> weights;
  for (const Series& series : measurements.series) {
    const Problem& problem = series.problem;
    weights[{problem.op(), problem.dtype, problem.threads, layout(problem), series.cache, held_fixed(problem)}] += series.weight;
  }
  return weights;
}

// The curves to show: of three points or more, first those with weight in the model and those that cross.
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

Json curve_json(const Curve& curve, double weight) {
  Json points = Json::array();
  for (const CurvePoint& point : curve.points)
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

Json threshold_json(const Threshold& threshold) {
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

Json list_json(const RuleList& list) {
  Json rules = Json::array();
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

Json moments_json(const BudgetReplay& replay) {
  Json moments = Json::array();
  for (const BudgetReplay::Moment& moment : replay.moments)
    moments.push_back({{"at_s", moment.at_s}, {"blocks", moment.blocks}, {"residual", moment.expected_residual}});
  return moments;
}

Json noise_with_judgement(const std::optional<NoiseRecord>& noise) {
  if (!noise) return nullptr;
  const Judgement judgement = judge(*noise);
  Json json = noise_json(*noise);
  json["trust"] = name(judgement.trust);
  json["why"] = judgement.why;
  json["widening"] = judgement.widening;
  return json;
}

Json measurements_json(const Measurements& measurements) {
  size_t candidates = 0, fewest = std::numeric_limits<size_t>::max(), most = 0;
  for (const Series& series : measurements.series) {
    candidates += series.candidates.size();
    fewest = std::min(fewest, series.blocks());
    most = std::max(most, series.blocks());
  }
  return {{"paired", measurements.paired},
          {"device", measurements.device},
          {"build", measurements.build},
          {"timed", measurements.timed},
          {"series", measurements.series.size()},
          {"arms", candidates},
          {"fewest_blocks", most == 0 ? 0 : fewest},
          {"most_blocks", most}};
}

Json device_json(const DeviceRecord& device) {
  return {{"facts", device_info_json(device.device)},
          {"ceilings",
           {{"read", device.roofline.read_bytes_per_s},
            {"copy", device.roofline.copy_bytes_per_s},
            {"flops", device.roofline.flops_per_s}}},
          {"threads", device.threads},
          {"model", device.model},
          {"build", device.build},
          {"date", device.date},
          {"noise", noise_with_judgement(device.noise)},
          {"seed", std::to_string(device.seed)}};  // as text: a number in JavaScript would be rounded
}

template <typename Items, typename ToJson>
Json all(const Items& items, ToJson to_json) {
  Json array = Json::array();
  for (const auto& item : items) array.push_back(to_json(item));
  return array;
}

// JSON for a script element. It has '<' only inside strings; without it, nothing can end the element.
std::string script_safe(const Json& json) {
  std::string text;
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

// Replaces each `{{name}}` of the template in one pass; replacements are not searched.
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
  const BudgetReplay replay = measurements.paired ? replay_budget(measurements) : BudgetReplay();
  Json series = Json::array(), curves = Json::array();
  for (size_t i = 0; i < measurements.series.size(); ++i)
    series.push_back(series_json(measurements.series[i], i < replay.series.size() ? &replay.series[i] : nullptr));
  for (const auto& [curve, weight] : shown_curves(analysis, measurements)) curves.push_back(curve_json(*curve, weight));
  const Json data = {
      {"profile",
       {{"fingerprint", profile.fingerprint}, {"model", profile.model}, {"build", profile.build}, {"date", profile.date}}},
      {"paired", measurements.paired && profile.paired},
      {"device", device_json(device)},
      {"measurements", measurements_json(measurements)},
      {"regret",
       {{"tuned", to_json(analysis.regret, IntervalKeys::separate)},
        {"unseen", to_json(analysis.unseen_regret, IntervalKeys::separate)},
        {"default", to_json(analysis.default_regret, IntervalKeys::separate)}}},
      {"autocorrelation", analysis.autocorrelation},
      {"moments", moments_json(replay)},
      {"thresholds", all(analysis.thresholds, threshold_json)},
      {"series", std::move(series)},
      {"curves", std::move(curves)},
      {"lists", all(analysis.lists, list_json)},
      {"verdicts", all(analysis.verdicts, [&](const SeriesVerdict& verdict) { return verdict_json(verdict, device); })}};
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
