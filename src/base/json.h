// Untrusted JSON: bounded in size and depth, with errors of one line that name the file and the field.
//
// A source file that builds or takes apart a `Json` includes <nlohmann/json.hpp> itself: that header takes seconds to compile.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace metallic {

using Json = nlohmann::ordered_json;  // keeps the order of members

/// Parses a JSON text of at most `most` bytes and 16 levels. `where` is the name of the file in errors.
Result<Json> parse_json(std::string_view text, std::string_view where, size_t most);

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

  /// The same for members that a file may leave out.
  Result<std::string> text_or(const char* key, std::string absent) const { return has(key) ? text(key) : absent; }
  Result<int64_t> integer_or(const char* key, int64_t low, int64_t high, int64_t absent) const {
    return has(key) ? integer(key, low, high) : absent;
  }
  Result<double> number_or(const char* key, double low, double high, double absent) const {
    return has(key) ? number(key, low, high) : absent;
  }
  Result<bool> boolean_or(const char* key, bool absent) const { return has(key) ? boolean(key) : absent; }

  bool has(const char* key) const { return find(key) != nullptr; }
  const Json& value() const { return value_; }
  const std::string& path() const { return path_; }

 private:
  tl::unexpected<Error> wrong(const char* key, std::string_view expected) const;
  const Json* find(const char* key) const;

  const Json& value_;
  std::string path_;
};

}  // namespace metallic
