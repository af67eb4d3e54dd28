// SPDX-License-Identifier: Apache-2.0
// metallic explain: environment, options, profiles and libraries; and decisions in the log.
#include <nlohmann/json.hpp>
#include <set>

#include "device/peers/cpu_libraries.h"
#include "dispatch/context.h"
#include "ops/matmul/shape.h"
#include "ops/registry.h"
#include "ops/softmax/shape.h"
#include "testing/program.h"

namespace metallic::cli {
namespace {

TEST_F(Program, TheEnvironmentOverridesAndIsNamed) {
  const auto explain = [&](const Variables& variables, const Words& more = {}) {
    Words words = {"explain", "softmax", "rows64_seqk256", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    Variables all = variables;
    all.emplace("METALLIC_PROFILE", "none");  // what is tested must not depend on which profiles are built in
    Json decision = json(words, all);
    size_t chosen = 0;
    for (const Json& candidate : decision["candidates"]) {
      const bool is_chosen = candidate["variant"] == decision["variant"] && candidate["tuning"] == decision["tuning"];
      chosen += is_chosen;
      EXPECT_EQ(candidate["rejected"].is_null(), is_chosen) << candidate;
      EXPECT_TRUE(is_chosen || !candidate["rejected"].get<std::string>().empty()) << candidate;
    }
    EXPECT_EQ(chosen, 1u);
    return decision;
  };
  const Json free = explain({});
  EXPECT_EQ(free["variant"], "cpu_vec");
  EXPECT_EQ(free["source"], "default");
  const Json forced = explain({{"METALLIC_SOFTMAX_VARIANT", "block"}});
  EXPECT_EQ(forced["variant"], "cpu_block");
  EXPECT_EQ(forced["source"], "environment");
  EXPECT_TRUE(has(forced["rule"], "forced by METALLIC_SOFTMAX_VARIANT=block")) << forced["rule"];
  EXPECT_EQ(explain({{"METALLIC_SOFTMAX_VARIANT", "cpu_reference"}})["variant"], "cpu_reference");
  EXPECT_EQ(explain({{"METALLIC_SOFTMAX_VARIANT", "auto"}})["variant"], "cpu_vec");
  EXPECT_EQ(explain({{"METALLIC_SOFTMAX_VARIANT", ""}})["source"], "default");
  const Json moved = explain({{"METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD", "100"}});
  EXPECT_EQ(moved["variant"], "cpu_block");
  EXPECT_EQ(moved["source"], "environment");
  EXPECT_EQ(explain({{"METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD", "256"}})["variant"], "cpu_vec") << "up to the threshold";
  EXPECT_EQ(explain({}, {"--variant", "cpu_block"})["source"], "options");
  EXPECT_EQ(explain({{"METALLIC_SOFTMAX_VARIANT", "vec"}}, {"--variant", "cpu_block"})["variant"], "cpu_vec");
  EXPECT_EQ(explain({{"METALLIC_NUM_THREADS", "1"}})["threads"], 1);
}

TEST_F(Program, AnUnusableProfileIsSkippedWithOneWarning) {
  write("garbage.json", "\x1b[31m\xff{");
  write("no_schema.json", R"({"schema": "one\n"})");
  write("old\x1b[31m\n.json", R"({"schema": 99})");
  const std::pair<std::string, std::string> kBad[] = {{"garbage.json", "not valid JSON"},  {"no_schema.json", "schema is"},
                                                      {"old\x1b[31m\n.json", "schema is"}, {"missing.json", "cannot read"},
                                                      {"/dev/null", "not a regular file"}, {".", "not a regular file"}};
  for (const auto& [name, fragment] : kBad) {
    const ProgramResult ended = run({"explain", "rows64_seqk256"}, {{"METALLIC_PROFILE", name}});
    EXPECT_EQ(ended.code, 0) << said({name}, ended);
    EXPECT_TRUE(has(ended.out, "runs    cpu_")) << "by the next level's rules";
    EXPECT_TRUE(has(ended.err, fragment)) << said({name}, ended);
    EXPECT_TRUE(has(ended.err, name.substr(0, 3))) << said({name}, ended);
    EXPECT_EQ(ended.err.find('\n') + 1, ended.err.size()) << "not one line: " << said({name}, ended);
    EXPECT_EQ(ended.err.find('\x1b'), std::string::npos) << said({name}, ended);
  }
  EXPECT_EQ(run({"explain", "rows64_seqk256"}, {{"METALLIC_PROFILE", "none"}}).err, "");
  EXPECT_EQ(run({"explain", "rows64_seqk256"}).err, "") << "no profile is no fault";
}

TEST_F(Program, DebugLogsEachNewDecisionOnce) {
  std::vector<std::string> lines;
  metallic_context_options options{};
  options.struct_size = sizeof(options);
  options.log_user = &lines;
  options.log = [](void* user, const char* level, const char* text) {
    static_cast<std::vector<std::string>*>(user)->push_back(fmt::format("{}: {}", level, text));
  };
  setenv("METALLIC_LOG_LEVEL", "debug", 1);
  setenv("METALLIC_PROFILE", "none", 1);
  metallic_context* context = nullptr;
  ASSERT_EQ(metallic_context_create(&options, &context), METALLIC_OK) << metallic_last_error();
  unsetenv("METALLIC_LOG_LEVEL");
  unsetenv("METALLIC_PROFILE");
  const auto plan = [&](const char* label) {
    metallic_problem problem{};
    problem.struct_size = sizeof(problem);
    metallic_plan* found = nullptr;
    EXPECT_EQ(metallic_problem_from_label(label, &problem), METALLIC_OK);
    EXPECT_EQ(metallic_plan_acquire(context, &problem, &found), METALLIC_OK) << metallic_last_error();
    metallic_plan_release(found);
  };
  plan("rows64_seqk256");
  plan("rows64_seqk256");
  ASSERT_EQ(lines.size(), 1u) << fmt::format("{}", fmt::join(lines, "\n"));
  EXPECT_TRUE(lines[0].starts_with("debug: softmax rows64_seqk256 f32 ")) << lines[0];
  EXPECT_TRUE(has(lines[0], "-> cpu_vec")) << lines[0];
  plan("rows64_seqk512");
  EXPECT_EQ(lines.size(), 2u);
  metallic_context_destroy(context);
}

TEST_F(Program, PeersAreCandidatesOnRequest) {
  const std::vector<Library> libraries = cpu::libraries();
  const Json listed = json({"devices", "--json"})[0]["libraries"];
  const std::string text = good({"devices"});
  ASSERT_EQ(listed.size(), cpu::known_libraries().size());
  for (const Json& library : listed) {
    const std::string name = library["name"];
    const Library* found = find_library(libraries, name);
    EXPECT_EQ(library["version"], found ? Json(found->version) : Json(nullptr));
    EXPECT_TRUE(
        has(text, found ? "library " + name + " " + found->version + "\n"
                        : "library " + name + " is missing: install the Debian package " + library["package"].get<std::string>()))
        << text;
  }
  const auto timed = [&](Words words) {
    for (const char* word : {"--shapes", "64x64x64", "rows8_seqk256", "--cache", "warm", "--budget", "0.01s", "--seed", "1"})
      words.push_back(word);
    std::set<std::string> names;
    for (const Json& row : json(words)) names.insert(row["variant"]);
    return names;
  };
  for (const std::string& name : timed({"bench", "--json"}))
    EXPECT_TRUE(find_variant(kMatmul, name) ? !calls_library(name) : true) << name;
  const auto with_peers = timed({"bench", "--json", "--peers"});
  for (const Library& library : libraries) EXPECT_TRUE(with_peers.contains("cpu_" + library.name)) << library.name;
  if (libraries.empty()) GTEST_SKIP() << "no library on this machine";

  // A tuned profile remembers what it was measured with, and a decision may be a library's only in that version.
  good({"tune", "--peers", "--shapes", "64x64x64", "--cache", "warm", "--budget", "0.01s", "--output-dir", "D", "--force"});
  Json profile = *parse_json(read(installed()), "profile", 1 << 20);
  fs::remove(installed());
  EXPECT_EQ(profile["device"]["libraries"].size(), libraries.size());
  const std::string use = "cpu_" + libraries.front().name;
  for (Json& list : profile["rules"]) list["rules"] = Json::array({{{"when", Json::object()}, {"use", use}, {"tuning", ""}}});
  write("p.json", profile.dump());
  EXPECT_EQ(json({"explain", "64x64x64", "--json", "--profile", "p.json"})["variant"], use);
  EXPECT_EQ(json({"explain", "64x64x64", "--json"}, {{"METALLIC_MATMUL_BACKEND", use}})["variant"], use);
  EXPECT_EQ(json({"explain", "64x64x64", "--json", "--variant", use})["variant"], use);
  profile["device"]["libraries"][0]["version"] = "0.0.1";
  write("p.json", profile.dump());
  const ProgramResult stale = run({"explain", "64x64x64", "--profile", "p.json"}, {{"METALLIC_LOG_LEVEL", "warning"}});
  EXPECT_EQ(stale.code, 0) << stale.err;
  EXPECT_TRUE(has(stale.err, "\"0.0.1\", this machine has \"" + libraries.front().version + "\": 1 rule is ignored\n"))
      << stale.err;
  EXPECT_EQ(std::ranges::count(stale.err, '\n'), 1) << stale.err;
  EXPECT_FALSE(has(stale.out, "runs    " + use)) << stale.out;
}

}  // namespace
}  // namespace metallic::cli
