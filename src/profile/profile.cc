// SPDX-License-Identifier: Apache-2.0
#include "profile/profile.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "ops/registry.h"
#include "profile/device_json.h"

namespace metallic {
namespace {

constexpr int64_t kLargest = int64_t{1} << 48;
constexpr size_t kMostLists = 256;
constexpr size_t kMostRules = 256;

Json bound(const std::optional<int64_t>& value) { return value ? Json(*value) : Json(nullptr); }

Json rule_json(const Rule& rule) {
  Json when = Json::object();
  for (const Range& range : rule.when) when[std::string(name(range.axis))] = {bound(range.low), bound(range.high)};
  Json evidence = Json::object();
  if (rule.evidence.regret) evidence["regret"] = *rule.evidence.regret;
  if (rule.evidence.default_regret) evidence["default_regret"] = *rule.evidence.default_regret;
  if (rule.evidence.margin) evidence["margin"] = *rule.evidence.margin;
  evidence["samples"] = rule.evidence.samples;
  if (!rule.evidence.note.empty()) evidence["note"] = rule.evidence.note;
  return {{"when", when}, {"use", rule.use}, {"tuning", rule.tuning}, {"evidence", evidence}};
}

// A member [low, high]; null is an open end.
Result<Range> parse_ends(Axis axis, const std::string& axis_name, const Json& ends, const std::string& path) {
  const auto wrong = [&] {
    return fail(Code::invalid_argument, "{}.{} is {}: expected [low, high], whole numbers or null", path, axis_name,
                in_quotes(ends.dump(-1, ' ', false, Json::error_handler_t::replace)));
  };
  if (!ends.is_array() || ends.size() != 2) return wrong();
  Range range{.axis = axis, .low = {}, .high = {}};
  for (const size_t i : {size_t{0}, size_t{1}}) {
    const Json& end = ends[i];
    if (end.is_null()) continue;
    if (!end.is_number_integer() || end.is_number_float()) return wrong();
    if (end.is_number_unsigned() ? end.get<uint64_t>() > kLargest : end.get<int64_t>() < 0) return wrong();
    (i == 0 ? range.low : range.high) = end.get<int64_t>();
  }
  if (range.low && range.high && *range.low > *range.high) return wrong();
  return range;
}

Result<Range> parse_range(const std::string& axis_name, const Json& ends, const std::string& path) {
  const auto axis = parse_axis(axis_name);
  if (!axis) return fail(Code::invalid_argument, "{} has the unknown axis {}", path, in_quotes(axis_name));
  return parse_ends(*axis, axis_name, ends, path);
}

Result<Rule> parse_rule(const JsonObject& object) {
  Rule rule;
  METALLIC_TRY(const JsonObject when, object.object("when"));
  for (const auto& [axis, ends] : when.value().items()) {
    METALLIC_TRY(const Range range, parse_range(axis, ends, when.path()));
    rule.when.push_back(range);
  }
  METALLIC_TRY(rule.use, object.text("use"));
  METALLIC_TRY(rule.tuning, object.text("tuning"));
  if (!object.has("evidence")) return rule;
  METALLIC_TRY(const JsonObject evidence, object.object("evidence"));
  METALLIC_CHECK(evidence.read_optional("regret", rule.evidence.regret));
  METALLIC_CHECK(evidence.read_optional("default_regret", rule.evidence.default_regret));
  METALLIC_CHECK(evidence.read_optional("margin", rule.evidence.margin));
  METALLIC_CHECK(evidence.read_optional("samples", rule.evidence.samples, 0, kLargest));
  METALLIC_CHECK(evidence.read_optional("note", rule.evidence.note));
  return rule;
}

// The members that a rule list and a threshold share.
template <typename Keyed>
Status parse_key(const JsonObject& object, Keyed& key) {
  METALLIC_TRY(const std::string op, object.text("op"));
  METALLIC_TRY(const std::string dtype, object.text("dtype"));
  const auto parsed_op = parse_op(op);
  if (!parsed_op) return fail(Code::invalid_argument, "{}: {}", object.path(), parsed_op.error().message);
  const auto parsed_dtype = parse_dtype(dtype);
  if (!parsed_dtype) return fail(Code::invalid_argument, "{}.dtype is {}: use {}", object.path(), in_quotes(dtype), kDTypeNames);
  key.op = *parsed_op;
  key.dtype = *parsed_dtype;
  METALLIC_TRY(const int64_t threads, object.integer("threads", 1, 1024));
  key.threads = static_cast<int>(threads);
  METALLIC_TRY(key.layout, object.text("layout"));
  return {};
}

Result<RuleList> parse_list(const JsonObject& object) {
  RuleList list;
  METALLIC_CHECK(parse_key(object, list.key));
  METALLIC_TRY(const std::string numerics, object.text("numerics"));
  const auto parsed = parse_numerics(numerics);
  if (!parsed)
    return fail(Code::invalid_argument, "{}.numerics is {}: use {}", object.path(), in_quotes(numerics), kNumericsNames);
  list.key.numerics = *parsed;
  METALLIC_TRY(const Json* rules, object.array("rules", kMostRules));
  for (size_t i = 0; i < rules->size(); ++i) {
    METALLIC_TRY(Rule rule, parse_rule(JsonObject((*rules)[i], fmt::format("{}.rules[{}]", object.path(), i))));
    list.rules.push_back(std::move(rule));
  }
  return list;
}

Result<Threshold> parse_threshold(const JsonObject& object) {
  Threshold threshold;
  METALLIC_CHECK(parse_key(object, threshold));
  METALLIC_TRY(threshold.name, object.text("name"));
  METALLIC_TRY(threshold.where, object.text("where"));
  METALLIC_TRY(threshold.value, object.integer("value", 0, kLargest));
  METALLIC_TRY(threshold.low, object.integer("low", 0, kLargest));
  METALLIC_TRY(threshold.high, object.integer("high", 0, kLargest));
  threshold.band_low = threshold.low, threshold.band_high = threshold.high;  // profiles without a band
  if (object.has("band")) {
    METALLIC_TRY(const Range band, parse_ends(Axis::n, "band", object.value()["band"], object.path()));
    threshold.band_low = band.low.value_or(threshold.value), threshold.band_high = band.high.value_or(threshold.value);
  }
  METALLIC_TRY(threshold.regret, object.number("regret"));
  METALLIC_TRY(threshold.kept_default, object.boolean("kept_default"));
  return threshold;
}

}  // namespace

std::string to_json(const Profile& profile) {
  Json lists = Json::array(), thresholds = Json::array();
  for (const RuleList& list : profile.lists) {
    Json rules = Json::array();
    for (const Rule& rule : list.rules) rules.push_back(rule_json(rule));
    lists.push_back({{"op", name(list.key.op)},
                     {"dtype", name(list.key.dtype)},
                     {"threads", list.key.threads},
                     {"numerics", name(list.key.numerics)},
                     {"layout", list.key.layout},
                     {"rules", rules}});
  }
  for (const Threshold& t : profile.thresholds)
    thresholds.push_back({{"op", name(t.op)},
                          {"dtype", name(t.dtype)},
                          {"threads", t.threads},
                          {"layout", t.layout},
                          {"name", t.name},
                          {"where", t.where},
                          {"value", t.value},
                          {"low", t.low},
                          {"high", t.high},
                          {"band", {t.band_low, t.band_high}},
                          {"regret", t.regret},
                          {"kept_default", t.kept_default}});
  const Json json = {{"schema", Profile::kSchema},
                     {"fingerprint", profile.fingerprint},
                     {"device", device_info_json(profile.device)},
                     {"model", profile.model},
                     {"build", profile.build},
                     {"date", profile.date},
                     {"paired", profile.paired},
                     {"busy", profile.busy},
                     {"thresholds", thresholds},
                     {"rules", lists}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Profile> parse_profile(std::string_view text, std::string_view where) {
  METALLIC_TRY(const Json json, parse_json(text, where, Profile::kMostBytes));
  const JsonObject root(json, fmt::format("{}:", where));
  METALLIC_CHECK(root.integer("schema", Profile::kSchema, Profile::kSchema));
  Profile profile;
  METALLIC_TRY(profile.fingerprint, root.text("fingerprint"));
  METALLIC_TRY(const JsonObject device, root.object("device"));
  METALLIC_TRY(profile.device, parse_device_info(device));
  METALLIC_TRY(profile.model, root.text("model"));
  METALLIC_TRY(profile.build, root.text("build"));
  METALLIC_TRY(profile.date, root.text("date"));
  METALLIC_TRY(profile.paired, root.boolean("paired"));
  METALLIC_CHECK(root.read_optional("busy", profile.busy));
  METALLIC_TRY(const Json* thresholds, root.array("thresholds", kMostLists * 8));
  for (size_t i = 0; i < thresholds->size(); ++i) {
    METALLIC_TRY(Threshold threshold, parse_threshold(JsonObject((*thresholds)[i], fmt::format("{}: thresholds[{}]", where, i))));
    profile.thresholds.push_back(std::move(threshold));
  }
  METALLIC_TRY(const Json* lists, root.array("rules", kMostLists));
  for (size_t i = 0; i < lists->size(); ++i) {
    METALLIC_TRY(RuleList list, parse_list(JsonObject((*lists)[i], fmt::format("{}: rules[{}]", where, i))));
    profile.lists.push_back(std::move(list));
  }
  return profile;
}

}  // namespace metallic
