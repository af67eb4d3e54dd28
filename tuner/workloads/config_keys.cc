// SPDX-License-Identifier: Apache-2.0
// Looks up keys by their names, then by the defaults of the model's type.
#include "tuner/workloads/config_keys.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace metallic {
namespace {

// A name such as "attn_config.kv_n_heads" is of an object within the configuration.
std::pair<const Json*, const char*> place(const Json& object, const char* name) {
  const std::string_view whole = name;
  const size_t dot = whole.find('.');
  if (dot == std::string_view::npos) return {&object, name};
  const auto inner = object.find(std::string(whole.substr(0, dot)));
  return {inner == object.end() || !inner->is_object() ? nullptr : &*inner, name + dot + 1};
}

const Json* find(const Json& object, const char* name) {
  const auto [within, key] = place(object, name);
  if (!within) return nullptr;
  const auto at = within->find(key);
  return at == within->end() || at->is_null() ? nullptr : &*at;
}

}  // namespace

ConfigKeys::ConfigKeys(const JsonObject& object) : object_(object), type_(text({"model_type"})) {}

bool ConfigKeys::is_type(std::initializer_list<std::string_view> types) const {
  return std::ranges::find(types, type_) != types.end();
}

const char* ConfigKeys::given(Names names) const {
  for (const char* name : names)
    if (find(object_.value(), name)) return name;
  for (const char* name : names)
    if (usual_value(type_, name)) return name;
  return nullptr;
}

Result<int64_t> ConfigKeys::number(Names names, int64_t high, int64_t low) const {
  const char* name = given(names);
  if (name == nullptr) return object_.integer(*names.begin(), low, high);
  if (!find(object_.value(), name)) return *usual_value(type_, name);
  const auto [within, key] = place(object_.value(), name);
  if (within == &object_.value()) return object_.integer(name, low, high);
  METALLIC_TRY(const JsonObject inner, object_.object(std::string(name, key - 1).c_str()));
  return inner.integer(key, low, high);
}

Result<int64_t> ConfigKeys::number_or(int64_t fallback, Names names, int64_t high, int64_t low) const {
  return given(names) ? number(names, high, low) : Result<int64_t>(fallback);
}

bool ConfigKeys::is_true(const char* key) const {
  const Json* found = find(object_.value(), key);
  return found && *found == true;
}

bool ConfigKeys::is_false(const char* key) const {
  const Json* found = find(object_.value(), key);
  return found && *found == false;
}

std::string ConfigKeys::text(Names names) const {
  for (const char* name : names)
    if (is_text(name)) return value(name).get<std::string>();
  return "";
}

Result<const Json*> ConfigKeys::list(const char* key) const {
  METALLIC_TRY(const Json* found, object_.array(key, 65536));
  if (found->empty() || std::ranges::any_of(*found, [](const Json& each) { return each.is_structured(); }))
    return refuse(key, "expected a list of one item a layer");
  return found;
}

const Json& ConfigKeys::value(const char* key) const { return *find(object_.value(), key); }

bool ConfigKeys::is_list(const char* key) const {
  const Json* found = find(object_.value(), key);
  return found && found->is_array();
}

bool ConfigKeys::is_text(const char* key) const {
  const Json* found = find(object_.value(), key);
  return found && found->is_string();
}

tl::unexpected<Error> ConfigKeys::refuse(const char* key, std::string_view why) const {
  const Json* found = find(object_.value(), key);
  const auto got = [&]() -> std::string {
    if (!found) return "missing";
    if (found->is_string()) return in_quotes(found->get_ref<const std::string&>());
    const std::string text = found->dump(-1, ' ', false, Json::error_handler_t::replace);
    return found->is_number() ? text : in_quotes(text);
  };
  return fail(Code::invalid_argument, "{}{}{} is {}: {}", object_.path(), object_.path().ends_with(':') ? " " : ".", key, got(),
              why);
}

}  // namespace metallic
