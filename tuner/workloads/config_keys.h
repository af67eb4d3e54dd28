// SPDX-License-Identifier: Apache-2.0
// Configuration keys: a meaning has had several names, and a file may leave out what is usual for its type of model.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/json.h"

namespace metallic {

/// The keys of the language model in a config.json. A key is given if it is there and not null. The configuration must outlive
/// the view.
class ConfigKeys {
 public:
  using Names = std::initializer_list<const char*>;

  explicit ConfigKeys(const JsonObject& object);

  /// The model_type, or an empty text.
  const std::string& type() const { return type_; }
  bool is_type(std::initializer_list<std::string_view> types) const;

  /// The first of the names that is given, or that this type of model has a default for; null if there is none.
  const char* given(Names names) const;

  /// A whole number from `low` to `high`. The first name is the one that an error calls missing.
  Result<int64_t> number(Names names, int64_t high, int64_t low = 1) const;
  /// The same, or `fallback` if no name is given.
  Result<int64_t> number_or(int64_t fallback, Names names, int64_t high, int64_t low = 1) const;

  /// Whether the key is given as `true`.
  bool is_true(const char* key) const;
  bool is_false(const char* key) const;
  /// The text of the first name that is given as one; empty if there is none.
  std::string text(Names names) const;
  /// The list of a given key of at most 65536 items, none of them a list or an object.
  Result<const Json*> list(const char* key) const;
  const Json& value(const char* key) const;
  bool is_list(const char* key) const;
  bool is_text(const char* key) const;

  /// An error about a key that has a value, with what was expected.
  tl::unexpected<Error> refuse(const char* key, std::string_view why) const;

 private:
  JsonObject object_;
  std::string type_;
};

/// What transformers assumes for a missing key of this type of model, if configurations rely on it; null otherwise.
const int64_t* usual_value(std::string_view type, std::string_view key);

}  // namespace metallic
