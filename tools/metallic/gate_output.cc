// SPDX-License-Identifier: Apache-2.0
// Writes the table, Markdown, JSON and JUnit XML.
#include "tools/metallic/gate_output.h"

#include <fmt/format.h>

#include <boost/property_tree/ptree.hpp>
#include <boost/property_tree/xml_parser.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

namespace metallic::cli {
namespace {

// The ratio head / base, and its 99 % interval.
std::string ratio(const tune::Assessment& a) { return a.blocks == 0 ? "–" : fmt::format("{:.3f}", std::exp(a.estimate)); }
std::string interval(const tune::Assessment& a) {
  if (a.blocks == 0) return "–";
  const auto end = [](double value, const char* unknown) {
    return std::isfinite(value) ? fmt::format("{:.3f}", std::exp(value)) : unknown;
  };
  return fmt::format("{}–{}", end(a.low, "?"), end(a.high, "?"));
}

std::string headline(const GateResult& r) {
  size_t counts[3] = {};
  for (const tune::Assessment& a : r.assessments) ++counts[static_cast<size_t>(a.finding)];
  return fmt::format("{}: of {} benchmarks {} slower by more than {:g} %, {} not slower, {} undecided", name(r.verdict),
                     r.assessments.size(), counts[static_cast<size_t>(tune::Finding::slower)], r.tau * 100,
                     counts[static_cast<size_t>(tune::Finding::ok)], counts[static_cast<size_t>(tune::Finding::undecided)]);
}

// Escapes vertical bars, which would start a new cell.
std::string in_cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

}  // namespace

std::string table(const GateResult& r) {
  std::string text = fmt::format("{:<72} {:>9} {:>13} {:>7}  {}\n", "benchmark", "head/base", "99 %", "blocks", "verdict");
  for (size_t b = 0; b < r.benchmarks.size(); ++b) {
    const tune::Assessment& a = r.assessments[b];
    text += fmt::format("{:<72} {:>9} {:>13} {:>7}  {}: {}\n", to_string(r.benchmarks[b]), ratio(a), interval(a), a.blocks,
                        name(a.finding), a.reason);
  }
  for (const std::string& note : r.notes) text += fmt::format("note: {}\n", note);
  return text + headline(r) + "\n";
}

std::string markdown(const GateResult& r) {
  std::string text = fmt::format(
      "**{}**\n\n| benchmark | head/base | 99 % | blocks | verdict | why |\n|---|---:|---:|---:|---|---|\n", headline(r));
  for (size_t b = 0; b < r.benchmarks.size(); ++b) {
    const tune::Assessment& a = r.assessments[b];
    text += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", in_cell(to_string(r.benchmarks[b])), ratio(a), interval(a),
                        a.blocks, name(a.finding), in_cell(a.reason));
  }
  text += fmt::format("\nbase: {} ({})\\\nhead: {} ({})\n", in_quotes(r.base), r.base_build, in_quotes(r.head), r.head_build);
  if (!r.notes.empty()) text += "\n";
  for (const std::string& note : r.notes) text += fmt::format("- {}\n", note);
  return text;
}

Json json(const GateResult& r) {
  const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); };
  auto benchmarks = Json::array();
  for (size_t b = 0; b < r.benchmarks.size(); ++b) {
    const tune::GateBenchmark& key = r.benchmarks[b];
    const tune::Assessment& a = r.assessments[b];
    const bool any = a.blocks > 0;
    benchmarks.push_back({{"label", key.label},
                          {"dtype", key.dtype},
                          {"cache", key.cache},
                          {"variant", key.variant},
                          {"tuning", key.tuning},
                          {"threads", key.threads},
                          {"ratio", any ? number(std::exp(a.estimate)) : Json(nullptr)},
                          {"low", any ? number(std::isfinite(a.low) ? std::exp(a.low) : a.low) : Json(nullptr)},
                          {"high", any ? number(std::exp(a.high)) : Json(nullptr)},
                          {"p", a.p},
                          {"variance_inflation", a.inflation},
                          {"blocks", a.blocks},
                          {"verdict", name(a.finding)},
                          {"reason", a.reason}});
  }
  return {{"verdict", name(r.verdict)}, {"tau", r.tau},    {"base", r.base},
          {"base_build", r.base_build}, {"head", r.head},  {"head_build", r.head_build},
          {"benchmarks", benchmarks},   {"notes", r.notes}};
}

std::string junit(const GateResult& r) {
  boost::property_tree::ptree suite;
  size_t failures = 0, skipped = 0;
  for (size_t b = 0; b < r.benchmarks.size(); ++b) {
    const tune::Assessment& a = r.assessments[b];
    boost::property_tree::ptree test;
    test.put("<xmlattr>.classname", "metallic.gate");
    test.put("<xmlattr>.name", to_string(r.benchmarks[b]));
    const std::string message = fmt::format("head/base {} ({}), {} blocks: {}", ratio(a), interval(a), a.blocks, a.reason);
    if (a.finding == tune::Finding::slower) ++failures, test.put("failure.<xmlattr>.message", message);
    if (a.finding == tune::Finding::undecided) ++skipped, test.put("skipped.<xmlattr>.message", message);
    if (a.finding == tune::Finding::ok) test.put("system-out", message);
    suite.add_child("testcase", test);
  }
  std::string said = headline(r) + "\n";
  for (const std::string& note : r.notes) said += note + "\n";
  suite.put("system-out", said);
  boost::property_tree::ptree document;
  suite.put("<xmlattr>.name", "metallic gate");
  suite.put("<xmlattr>.tests", r.benchmarks.size());
  suite.put("<xmlattr>.failures", failures);
  suite.put("<xmlattr>.errors", 0);
  suite.put("<xmlattr>.skipped", skipped);
  document.add_child("testsuite", suite);
  std::ostringstream text;
  write_xml(text, document, boost::property_tree::xml_writer_settings<std::string>(' ', 2));
  return text.str();
}

}  // namespace metallic::cli
