// SPDX-License-Identifier: Apache-2.0
// Untrusted JSON: bounded in size and depth, with errors of one line that name the file and the field.
//
// A source file that builds or takes apart a `Json` includes <nlohmann/json.hpp> itself: that header takes seconds to compile.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace metallic {

using Json = nlohmann::ordered_json;  // keeps the order of members

/// What to do with NaN and Infinity, which Python and Google Benchmark write although JSON has no such numbers. As null, a number
/// that is needed is reported with its key.
enum class NonFinite : unsigned char { refused, read_as_null };

/// Parses a JSON text of at most `most` bytes and 16 levels. `where` is the name of the file in errors.
Result<Json> parse_json(std::string_view text, std::string_view where, size_t most, NonFinite non_finite = NonFinite::refused);

/// A JSON object whose members are checked for type and range. `path` names the object in errors: `profile.json: rules[0]`.
/// The object must outlive the view.
class JsonObject {
 public:
  JsonObject(const Json& value, std::string path) : value_(value), path_(std::move(path)) {}

  Result<std::string> text(const char* key, size_t longest = 256) const;
  Result<int64_t> integer(const char* key, int64_t low, int64_t high) const;
  Result<double> number(const char* key) const;
  Result<double> number(const char* key, double low, double high) const;
  Result<bool> boolean(const char* key) const;
  Result<const Json*> array(const char* key, size_t most) const;
  Result<JsonObject> object(const char* key) const;

  /// Reads a member that a file may leave out; then `to` stays as it is. `to` is a bool, a text, or an integer or number (or an
  /// optional of these) with bounds if that type has them.
  template <typename To, typename... Bounds>
  Status read_optional(const char* key, To& to, Bounds... bounds) const {
    if (!has(key)) return {};
    METALLIC_TRY(to, member(static_cast<To*>(nullptr), key, bounds...));
    return {};
  }

  bool has(const char* key) const { return find(key) != nullptr; }
  const Json& value() const { return value_; }
  const std::string& path() const { return path_; }

 private:
  Result<std::string> member(std::string*, const char* key) const { return text(key); }
  Result<bool> member(bool*, const char* key) const { return boolean(key); }
  Result<int64_t> member(int64_t*, const char* key, int64_t low, int64_t high) const { return integer(key, low, high); }
  Result<int> member(int*, const char* key, int low, int high) const;
  template <typename... Bounds>
  Result<double> member(double*, const char* key, Bounds... bounds) const {
    return number(key, bounds...);
  }
  template <typename To, typename... Bounds>
  Result<To> member(std::optional<To>*, const char* key, Bounds... bounds) const {
    return member(static_cast<To*>(nullptr), key, bounds...);
  }

  tl::unexpected<Error> wrong(const char* key, std::string_view expected) const;
  const Json* find(const char* key) const;

  const Json& value_;
  std::string path_;
};

}  // namespace metallic
