// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

namespace metallic {
namespace {
constexpr int kMaxDepth = 16;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_non_finite(std::string_view word) {
  constexpr std::array<std::string_view, 3> kWords = {"nan", "inf", "infinity"};
  return std::ranges::any_of(kWords, [&](std::string_view each) {
    return std::ranges::equal(word, each, [](char a, char b) { return (a | 0x20) == b; });
  });
}

struct Rewritten {
  std::string text;
  std::vector<size_t> longer;  // where the text became one byte longer
};

// Replaces NaN, inf, Infinity and their negatives by null, but not in strings.
Rewritten without_non_finite(std::string_view text) {
  Rewritten made;
  made.text.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (text[at] == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at)
        if (text[at] == '\\') ++at;
      at = std::min(at + 1, text.size());
    } else {
      at += text[at] == '-';
      const size_t letters = at;
      while (at < text.size() && is_letter(text[at])) ++at;
      if (is_non_finite(text.substr(letters, at - letters))) {
        made.text += "null";
        if (at - begin < 4) made.longer.push_back(made.text.size());
        if (at - begin > 4) made.text.append(at - begin - 4, ' ');
        continue;
      }
      at = std::max(at, begin + 1);
    }
    made.text += text.substr(begin, at - begin);
  }
  return made;
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view where, size_t most, NonFinite non_finite) {
  if (text.size() > most) return fail(Code::invalid_argument, "{}: {} bytes, at most {} are read", where, text.size(), most);
  Rewritten rewritten;
  if (non_finite == NonFinite::read_as_null) {
    rewritten = without_non_finite(text);
    text = rewritten.text;
  }
  struct TooDeep {};
  try {
    return Json::parse(text, [](int depth, Json::parse_event_t, Json&) {
      if (depth > kMaxDepth) throw TooDeep();
      return true;
    });
  } catch (const TooDeep&) {
    return fail(Code::invalid_argument, "{}: nested deeper than {} levels", where, kMaxDepth);
  } catch (const Json::parse_error& error) {
    const auto before = std::ranges::count_if(rewritten.longer, [&](size_t place) { return place <= error.byte; });
    return fail(Code::invalid_argument, "{}: not valid JSON at byte {}: the file may be cut short or of another kind", where,
                error.byte - static_cast<size_t>(before));
  } catch (const Json::exception&) {
    return fail(Code::invalid_argument, "{}: not valid JSON: a number is out of range", where);
  }
}

const Json* JsonObject::find(const char* key) const {
  if (!value_.is_object()) return nullptr;
  const auto at = value_.find(key);
  return at == value_.end() ? nullptr : &*at;
}

tl::unexpected<Error> JsonObject::wrong(const char* key, std::string_view expected) const {
  const Json* found = find(key);
  // With replacement, because the text may not be UTF-8.
  const std::string got = found ? in_quotes(found->dump(-1, ' ', false, Json::error_handler_t::replace)) : "missing";
  return fail(Code::invalid_argument, "{}{}{} is {}: expected {}", path_, path_.ends_with(":") ? " " : ".", key, got, expected);
}

Result<std::string> JsonObject::text(const char* key, size_t longest) const {
  const Json* found = find(key);
  // Our files cannot hold zero bytes, and some texts that are read here are written there.
  const auto fits = [longest](const std::string& text) { return text.size() <= longest && text.find('\0') == std::string::npos; };
  if (!found || !found->is_string() || !fits(found->get_ref<const std::string&>()))
    return wrong(key, fmt::format("a text of at most {} bytes, none of them zero", longest));
  return found->get<std::string>();
}

Result<int64_t> JsonObject::integer(const char* key, int64_t low, int64_t high) const {
  const Json* found = find(key);
  if (found && found->is_number_integer() && !(found->is_number_unsigned() && found->get<uint64_t>() > INT64_MAX)) {
    const auto number = found->get<int64_t>();
    if (number >= low && number <= high) return number;
  }
  return wrong(key, fmt::format("a whole number from {} to {}", low, high));
}

Result<int> JsonObject::member(int*, const char* key, int low, int high) const {
  METALLIC_TRY(const int64_t number, integer(key, low, high));
  return static_cast<int>(number);
}

Result<double> JsonObject::number(const char* key) const {
  const Json* found = find(key);
  if (!found || !found->is_number() || !std::isfinite(found->get<double>())) return wrong(key, "a finite number");
  return found->get<double>();
}

Result<double> JsonObject::number(const char* key, double low, double high) const {
  METALLIC_TRY(const double number, this->number(key));
  if (number < low || number > high) return wrong(key, fmt::format("a number from {} to {}", low, high));
  return number;
}

Result<bool> JsonObject::boolean(const char* key) const {
  const Json* found = find(key);
  if (!found || !found->is_boolean()) return wrong(key, "true or false");
  return found->get<bool>();
}

Result<const Json*> JsonObject::array(const char* key, size_t most) const {
  const Json* found = find(key);
  if (!found || !found->is_array() || found->size() > most) return wrong(key, fmt::format("a list of at most {} items", most));
  return found;
}

Result<JsonObject> JsonObject::object(const char* key) const {
  const Json* found = find(key);
  if (!found || !found->is_object()) return wrong(key, "an object");
  return JsonObject(*found, fmt::format("{}{}{}", path_, path_.ends_with(":") ? " " : ".", key));
}

}  // namespace metallic
