// The subcommands, from what they print and write to how they refuse what is wrong.
#include <sys/stat.h>

#include <random>
#include <set>

#include "backends/cpu/libraries.h"
#include "cli/program.h"
#include "dispatch/context.h"
#include "formats/profile.h"
#include "formats/records.h"
#include "kernels/variants.h"

namespace metallic::cli {
namespace {

constexpr std::string_view kFiveColumns =
    "benchmark,variant,parameters,mean_time,throughput\n"
    "softmax_f32,cpu_vec,rows64_seqk256,1000,5e9\nsoftmax_f32,cpu_block,rows64_seqk256,2000,2.5e9\n"
    "softmax_f32,cpu_vec,rows64_seqk8192,90000,5e9\nsoftmax_f32,cpu_block,rows64_seqk8192,80000,6e9\n";

constexpr std::string_view kGoogleBenchmark = R"({"context": {"num_cpus": 2, "metallic_target": "AVX2"}, "benchmarks": [
  {"name": "direct/cpu_vec@unroll=4/f32/rows64_seqk256/real_time", "run_type": "iteration", "iterations": 9, "real_time": 2.0, "time_unit": "us", "threads_used": 2},
  {"name": "direct/cpu_vec@unroll=4/f32/rows64_seqk256/real_time", "run_type": "iteration", "iterations": 9, "real_time": 4000, "time_unit": "ns", "threads_used": 2},
  {"name": "direct/cpu_block/f32/rows64_seqk256/real_time", "run_type": "iteration", "iterations": 9, "real_time": 6.0, "time_unit": "us", "threads_used": 2},
  {"name": "direct/cpu_block/f32/rows64_seqk256/real_time_mean", "run_type": "aggregate", "iterations": 1, "real_time": 6.0, "time_unit": "us"}]})";

TEST_F(Program, TunesInstallsAndExplains) {
  write("shapes", "rows4_seqk64..1024 2\nrows64_seqk2048\n1x256x512_tb # decode\n64x64x32\n");
  const std::string out = good({"tune", "--shapes", "shapes", "--budget", "2s", "--output-dir", "D"});
  for (const char* file : {"samples.csv", "results.csv", "device.json", "profile.json", "report.html"})
    EXPECT_GT(fs::file_size(path("D") / file), 100u) << file;
  EXPECT_TRUE(has(out, "softmax_vec_block")) << out;
  EXPECT_TRUE(has(out, "smalln_max_n")) << out;
  EXPECT_TRUE(has(out, "held-out regret over")) << out;
  EXPECT_TRUE(has(out, "installed " + installed().native())) << out;
  EXPECT_TRUE(has(out, "report    " + path("D/report.html").native())) << out;
  EXPECT_EQ(read(installed()), read(path("D/profile.json")));
  EXPECT_TRUE(read(path("D/report.html")).starts_with("<!")) << "a page";

  const Json explained = json({"explain", "softmax", "rows4_seqk128", "--json"});
  EXPECT_EQ(explained["source"], "user");
  EXPECT_TRUE(has(explained["rule"], installed().native())) << explained["rule"];
  EXPECT_TRUE(has(good({"explain", "rows4_seqk128"}), installed().native()));
  EXPECT_EQ(json({"devices", "--json"})[0]["profile"], installed().native());

  const Json regret = json({"regret", "--samples", "D/samples.csv", "--profile", "D/profile.json", "--json"});
  EXPECT_LE(regret["mean"].get<double>(), regret["worst"].get<double>());
  EXPECT_LE(regret["p95"].get<double>(), regret["worst"].get<double>());
  std::set<std::string> labels;
  for (const Json& shape : regret["shapes"]) {
    for (const char* key : {"op", "label", "dtype", "chosen", "best"}) EXPECT_TRUE(shape[key].is_string()) << key << shape;
    for (const char* key : {"regret", "default_regret"}) EXPECT_TRUE(shape[key].is_number() || shape[key].is_null()) << key;
    labels.insert(shape["label"]);
  }
  EXPECT_EQ(labels.size(), 8u);
  EXPECT_TRUE(has(good({"regret", "--samples", "D/samples.csv"}), "where most is lost"));

  fs::remove(path("D/report.html"));
  good({"report", "D"});
  EXPECT_TRUE(fs::exists(path("D/report.html")));
  good({"tune", "--shapes", "rows4_seqk64", "--budget", "0.05s"});
  EXPECT_TRUE(fs::exists(path("metallic-tuning/any/report.html"))) << "the folder without --output-dir";
}

TEST_F(Program, InstallsForAModel) {
  make_samples();
  good({"analyze", "D/samples.csv", "--output-dir", "D", "--model", "my-model"});
  good({"apply", "D/profile.json"});
  EXPECT_EQ(read(installed("my-model")), read(installed())) << "the one applied last is also that of any model";
  fs::remove(installed());
  EXPECT_EQ(json({"explain", "rows4_seqk128", "--model", "my-model", "--json"})["source"], "user");
  EXPECT_NE(json({"explain", "rows4_seqk128", "--json"})["source"], "user");
}

TEST_F(Program, AnalyzesSamplesAndResults) {
  make_samples();
  const Json analysis = json({"analyze", "D/samples.csv", "--output-dir", "D", "--json"});
  ASSERT_FALSE(analysis["thresholds"].empty());
  for (const Json& threshold : analysis["thresholds"]) {
    for (const char* key : {"op", "dtype", "name"}) EXPECT_TRUE(threshold[key].is_string()) << key;
    for (const char* key : {"value", "low", "high", "regret"}) EXPECT_TRUE(threshold[key].is_number()) << key;
    EXPECT_LE(threshold["low"], threshold["high"]);
  }
  ASSERT_FALSE(analysis["rules"].empty());
  EXPECT_EQ(analysis["paired"], true);

  const std::string dry = good({"apply", "D/profile.json", "--dry-run"});
  EXPECT_TRUE(has(dry, "would write " + installed().native())) << dry;
  EXPECT_TRUE(has(dry, "+ ")) << dry;
  EXPECT_FALSE(fs::exists(root_ / "data")) << "a dry run writes nothing";
  EXPECT_TRUE(has(good({"apply", "D/profile.json"}), "installed " + installed().native()));
  EXPECT_FALSE(has(good({"apply", "D/profile.json", "--dry-run"}), "+ ")) << "nothing changes any more";

  const std::string results = good({"bench", "--budget", "0.05", "--shapes", "rows4_seqk64", "--format", "csv"});
  write("R/results.csv", results);
  EXPECT_TRUE(has(good({"analyze", "R/results.csv", "--output-dir", "R"}), "unpaired"));
  EXPECT_TRUE(fs::exists(path("R/report.html")));
}

TEST_F(Program, TheGuidesFiveColumnsSuffice) {
  write("results.csv", kFiveColumns);
  good({"analyze", "results.csv", "--output-dir", "out"});
  const Json profile = Json::parse(read(path("out/profile.json")));
  EXPECT_EQ(profile["paired"], false);
  EXPECT_EQ(profile["fingerprint"], "unknown") << "five columns do not say where they were measured";
  refuses({"apply", "out/profile.json"}, "--force");
  good({"apply", "out/profile.json", "--force"});
  EXPECT_TRUE(fs::exists(installed()));
}

TEST_F(Program, CollectsGoogleBenchmarkRuns) {
  write("run.json", kGoogleBenchmark);
  const Json rows = json({"collect", "run.json", "--out", "deep/results.csv", "--json"});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["variant"], "cpu_vec");
  EXPECT_EQ(rows[0]["tuning"], "unroll=4");
  EXPECT_EQ(rows[0]["mean_time"], 3000);
  EXPECT_EQ(rows[0]["samples"], 2);
  EXPECT_EQ(rows[0]["benchmark"], "direct_f32");
  EXPECT_DOUBLE_EQ(rows[0]["throughput"].get<double>(), 64 * 256 * 3 / 3e-6);
  EXPECT_EQ(rows[1]["target"], "AVX2");
  const auto parsed = parse_results(read(path("deep/results.csv")), "results.csv");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->size(), 2u);
  EXPECT_TRUE(has(good({"collect", "run.json", "run.json", "--out", "two.csv"}), "4 rows from 2 files"));
  EXPECT_TRUE(has(good({"analyze", "deep/results.csv", "--output-dir", "deep"}), "softmax"));
}

TEST_F(Program, TakesTheConfigurationOfAnyModel) {
  write("Tiny Model/config.json",
        R"({"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 100,
            "max_position_embeddings": 128})");
  const std::string config = path("Tiny Model/config.json");
  EXPECT_EQ(json({"models", config, "--json"})[0]["label"], "1x64x192_tb");
  good({"tune", "--model", config, "--op", "matmul", "--budget", "1s"});
  EXPECT_EQ(Json::parse(read(installed("tiny-model")))["model"], "tiny-model");
  EXPECT_TRUE(fs::exists(path("metallic-tuning/tiny-model/report.html")));
  for (const std::string& model : {config, std::string("tiny-model")})
    EXPECT_TRUE(has(json({"explain", "1x64x192_tb", "--model", model, "--json"})["rule"], "tiny-model.json")) << model;
  write("bad.json", R"({"hidden_size": -1})");
  refuses({"tune", "--model", path("bad.json")}, "bad.json: hidden_size is");
  refuses({"models", path("gone.json")}, "No such file");
  refuses({"bench", "--model", path("")}, "not a regular file");
}

TEST_F(Program, BenchWritesEveryFormat) {
  const Words bench = {"bench", "--budget", "0.01", "--shapes", "rows4_seqk64", "0x4x4", "2x8x4_a0.5_b2"};
  const auto with = [&](std::initializer_list<std::string> more) {
    Words words = bench;
    words.insert(words.end(), more);
    return words;
  };
  EXPECT_TRUE(has(good(bench), "GFLOP/s"));
  EXPECT_TRUE(has(good(with({"--format", "md"})), "|---|"));
  EXPECT_TRUE(parse_results(good(with({"--format", "csv"})), "out"));
  for (const Json& row : json(with({"--json"}))) EXPECT_GT(row["median_time"].get<double>(), 0) << row;
  good(with({"--seed", "7", "--out", path("S/samples.csv")}));
  const auto samples = parse_samples(read(path("S/samples.csv")), "samples.csv");
  ASSERT_TRUE(samples) << samples.error().message;
  for (const SampleRow& row : *samples) EXPECT_EQ(row.seed, 7);
  EXPECT_TRUE(fs::exists(path("S/device.json")));
}

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

TEST_F(Program, AnUnusableProfileIsPassedOverWithOneWarning) {
  write("garbage.json", "\x1b[31m\xff{");
  write("no_schema.json", R"({"schema": "one\n"})");
  write("old\x1b[31m\n.json", R"({"schema": 99})");
  const std::pair<std::string, std::string> kBad[] = {{"garbage.json", "not valid JSON"},  {"no_schema.json", "schema is"},
                                                      {"old\x1b[31m\n.json", "schema is"}, {"missing.json", "cannot read"},
                                                      {"/dev/null", "not a regular file"}, {".", "not a regular file"}};
  for (const auto& [name, fragment] : kBad) {
    const Ended ended = run({"explain", "rows64_seqk256"}, {{"METALLIC_PROFILE", name}});
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
  ContextOptions options;
  options.environment = [](std::string_view name) -> std::optional<std::string> {
    if (name == "METALLIC_LOG_LEVEL") return "debug";
    if (name == "METALLIC_PROFILE") return "none";
    return std::nullopt;
  };
  options.log = [&](std::string_view level, std::string_view text) { lines.push_back(fmt::format("{}: {}", level, text)); };
  const auto context = Context::create(std::move(options));
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_TRUE((*context)->cached_plan(softmax_problem(64, 256)));
  EXPECT_TRUE((*context)->cached_plan(softmax_problem(64, 256)));
  ASSERT_EQ(lines.size(), 1u) << fmt::format("{}", fmt::join(lines, "\n"));
  EXPECT_TRUE(lines[0].starts_with("debug: softmax rows64_seqk256 f32 ")) << lines[0];
  EXPECT_TRUE(has(lines[0], "-> cpu_vec")) << lines[0];
  EXPECT_TRUE((*context)->cached_plan(softmax_problem(64, 512)));
  EXPECT_EQ(lines.size(), 2u);
}

TEST_F(Program, HelpNamesEveryOption) {
  const std::pair<std::string, Words> kOptions[] = {
      {"tune",
       {"--op", "--shapes", "--model", "--dtype", "--budget", "--seed", "--cache", "--peers", "--output-dir", "--device"}},
      {"explain", {"--dtype", "--variant", "--model", "--profile", "--json", "problem"}},
      {"devices", {"--json"}},
      {"list", {"--op", "--json"}},
      {"models", {"--json"}},
      {"env", {"--json"}},
      {"bench", {"--op", "--shapes", "--model", "--budget", "--peers", "--format", "--out", "--json"}},
      {"collect", {"files", "--out", "--json"}},
      {"analyze", {"file", "--output-dir", "--model", "--json"}},
      {"apply", {"file", "--dry-run", "--rollback", "--defaults", "--force"}},
      {"regret", {"--samples", "--profile", "--json", "--budget", "--peers"}},
      {"gate", {"--base", "--head", "--shapes", "--budget", "--tau", "--markdown", "--junit", "--calibrate", "--json"}},
      {"arms", {"internal"}},
      {"report", {"folder"}}};
  const std::string all = good({"--help"});
  for (const auto& [command, options] : kOptions) {
    EXPECT_TRUE(has(all, "\n  " + command + " ")) << command << " in\n" << all;
    const std::string help = good({command, "--help"});
    for (const std::string& option : options) EXPECT_TRUE(has(help, option)) << option << " in\n" << help;
  }
  EXPECT_TRUE(has(good({"--version"}), "metallic"));
}

TEST_F(Program, JsonForPrograms) {
  const Json device = json({"devices", "--json"})[0];
  EXPECT_EQ(device["id"], "cpu");
  EXPECT_EQ(device["fingerprint"], fingerprint(cpu::facts()));
  EXPECT_EQ(device["threads"], 2);
  EXPECT_TRUE(device["profile"].is_null());
  EXPECT_GT(device["memory_bytes"], 0);
  std::set<std::string> listed;
  for (const Json& row : json({"list", "--json"})) {
    listed.insert(row["op"].get<std::string>() + "/" + row["variant"].get<std::string>());
    EXPECT_FALSE(row["tunings"].empty()) << row;
    EXPECT_EQ(row["backend"], "cpu");
  }
  std::set<std::string> table;
  for (const Op op : kOps)
    for (const Variant& variant : variants(op)) table.insert(fmt::format("{}/{}", name(op), variant.name));
  EXPECT_EQ(listed, table);
  for (const Json& row : json({"list", "--op", "matmul", "--json"})) EXPECT_EQ(row["op"], "matmul");
  const Json names = json({"models", "--json"});
  EXPECT_NE(std::ranges::find(names, Json("llama-3.1-8b")), names.end());
  const Json problems = json({"models", "llama-3.1-8b", "--json"});
  EXPECT_EQ(problems[0]["label"], "1x4096x6144_tb");
  for (const Json& problem : problems) EXPECT_GT(problem["weight"].get<double>(), 0) << problem;
  std::map<std::string, Json> environment;
  for (const Json& row : json({"env", "--json"}, {{"METALLIC_LOG_LEVEL", "info"}})) environment[row["name"]] = row["value"];
  EXPECT_EQ(environment["METALLIC_LOG_LEVEL"], "info");
  EXPECT_EQ(environment["METALLIC_NUM_THREADS"], "2");
  EXPECT_TRUE(environment["METALLIC_PROFILE"].is_null());
  const Ended wrong = run({"env"}, {{"METALLIC_LOG_LEVEL", "loud"}});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_TRUE(has(wrong.out, "METALLIC_DETERMINISM")) << "the table comes also where it is wrong";
  EXPECT_TRUE(has(wrong.err, "METALLIC_LOG_LEVEL is \"loud\"")) << wrong.err;
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
    EXPECT_TRUE(has(text, found ? "library " + name + " " + found->version + "\n"
                                : "library " + name + " is missing: install Debian's " + library["package"].get<std::string>()))
        << text;
  }
  const auto timed = [&](Words words) {
    for (const char* word : {"--shapes", "64x64x64", "rows8_seqk256", "--budget", "0.01s", "--seed", "1"}) words.push_back(word);
    std::set<std::string> names;
    for (const Json& row : json(words)) names.insert(row["variant"]);
    return names;
  };
  for (const std::string& name : timed({"bench", "--json"}))
    EXPECT_TRUE(find_variant(Op::matmul, name) ? !calls_library(name) : true) << name;
  const auto with_peers = timed({"bench", "--json", "--peers"});
  for (const Library& library : libraries) EXPECT_TRUE(with_peers.contains("cpu_" + library.name)) << library.name;
  if (libraries.empty()) GTEST_SKIP() << "no library on this machine";

  // A tuned profile remembers what it was measured with, and a decision may be a library's only in that version.
  good({"tune", "--peers", "--shapes", "64x64x64", "--budget", "0.01s", "--output-dir", "D"});
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
  const Ended stale = run({"explain", "64x64x64", "--profile", "p.json"}, {{"METALLIC_LOG_LEVEL", "warning"}});
  EXPECT_EQ(stale.code, 0) << stale.err;
  EXPECT_TRUE(has(stale.err, "\"0.0.1\", this machine has \"" + libraries.front().version + "\": 1 rule is passed over\n"))
      << stale.err;
  EXPECT_EQ(std::ranges::count(stale.err, '\n'), 1) << stale.err;
  EXPECT_FALSE(has(stale.out, "runs    " + use)) << stale.out;
}

TEST_F(Program, RefusesWrongWords) {
  const std::pair<Words, const char*> kBad[] = {
      {{}, "subcommand"},
      {{"tun"}, "unknown subcommand \"tun\""},
      {{"\x1b[31mred\n"}, "[31mred"},
      {{"explain"}, "problem"},
      {{"explain", "rows64"}, "label \"rows64\" column 7"},
      {{"explain", "\x1b[2J\xff"}, "column 1"},
      {{"explain", std::string(5000, 'x')}, "5000 bytes"},
      {{"explain", "softmax", "4x4x4"}, "is of matmul, not of softmax"},
      {{"explain", "matmul", "rows1_seqk1"}, "is of softmax, not of matmul"},
      {{"explain", "conv", "rows1_seqk1"}, "unknown operation \"conv\""},
      {{"explain", "softmax", "rows1_seqk1", "more"}, "At Most 2"},
      {{"explain", "rows1..4_seqk1"}, "names 3 problems"},
      {{"explain", "rows99999999999999999999_seqk1"}, "number too large"},
      {{"explain", "281474976710656x281474976710656x2"}, "smaller shape"},
      {{"explain", "rows1_seqk1", "--dtype", "f128"}, "--dtype \"f128\""},
      {{"explain", "rows1_seqk1", "--variant", "fast"}, "use auto, vec, block"},
      {{"explain", "rows1_seqk1", "--variant", "cpu_gemm"}, "cpu_vec"},
      {{"explain", "rows1_seqk1", "--model", "../x"}, "model name"},
      {{"explain", "rows1_seqk1", "--fast"}, "--fast"},
      {{"explain", "rows1_seqk1", "--" + std::string(2000, 'x')}, "see metallic explain --help"},
      {{"list", "--op", "conv"}, "unknown operation"},
      {{"models", "gpt-5"}, "llama-3.1-8b"},
      {{"bench", "--model", "gpt-5\x1b[31m"}, "llama-3.1-8b"},
      {{"bench", "--op", "conv"}, "unknown operation"},
      {{"bench", "--op", "matmul", "--shapes", "rows1_seqk1"}, "none of the shapes"},
      {{"bench", "--shapes", "rows1_seqk1", "--model", "llama-3.1-8b"}, "--shapes"},
      {{"bench", "--shapes", "rows1_seqk1", "--format", "xml"}, "--format"},
      {{"bench", "--shapes", "rows1_seqk1", "--cache", "hot"}, "--cache"},
      {{"bench", "--shapes", "rows1_seqk1", "--dtype", ""}, "--dtype"},
      {{"bench", "--shapes", "rows1_seqk1", "--seed", "-1"}, "--seed"},
      {{"bench", "--shapes", "rows1_seqk1", "--seed", "99999999999999999999"}, "--seed"},
      {{"bench", "--shapes", "rows10000000_seqk1000000", "--out", "s.csv"}, "GiB"},
      {{"tune", "--shapes", "rows10000000_seqk1000000"}, "GiB"},
      {{"tune", "--shapes", "rows4_seqk64", "1000000x1000000x1", "--output-dir", "D"}, "1000000x1000000x1 needs"},
      {{"tune", "--shapes", "rows1_seqk1", "--device", "cuda:0"}, "this machine has: cpu"},
      {{"tune", "--shapes", "."}, "label \".\""},
      {{"tune", "--model", "x"}, "unknown model"},
      {{"collect", "run.json"}, "--out"},
      {{"analyze", "D/samples.csv", "--model", "../x"}, "model name"},
      {{"apply"}, "file"},
      {{"apply", "--rollback", "--force"}, "--rollback"},
      {{"apply", "D/samples.csv", "--defaults", "c.h", "--dry-run"}, "--defaults"},
      {{"regret", "--samples"}, "--samples"},
  };
  make_samples();
  for (const auto& [words, fragment] : kBad) refuses(words, fragment);
  for (const char* budget : {"-1", "-1s", "0", "0s", "nan", "inf", "1e999", "s", "min", "", "1h", "99999999999999999999", "2d s"})
    refuses({"tune", "--shapes", "rows1_seqk1", std::string("--budget=") + budget}, "--budget");
}

TEST_F(Program, RefusesAWrongEnvironment) {
  const std::pair<std::string, std::string> kBad[] = {
      {"METALLIC_SOFTMAX_VARIANT", "fast"},
      {"METALLIC_SOFTMAX_VARIANT", "\x1b[31m\n"},
      {"METALLIC_MATMUL_BACKEND", "cublas"},
      {"METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD", "-1"},
      {"METALLIC_MATMUL_SMALLN_MAX_N", "99999999999999999999"},
      {"METALLIC_MATMUL_SIMD_M_MIN", "1.5"},
      {"METALLIC_MATMUL_SIMD_N_MIN", "0x10"},
      {"METALLIC_DETERMINISM", "yes"},
      {"METALLIC_LOG_LEVEL", std::string(3000, 'x')},
      {"METALLIC_GPU_PROFILER", "yes"},
      {"METALLIC_NUM_THREADS", "0"},
      {"METALLIC_NUM_THREADS", "1025"},
  };
  for (const auto& [variable, value] : kBad)
    for (const Words& words : {Words{"explain", "rows1_seqk1"}, Words{"tune", "--shapes", "rows1_seqk1"}})
      refuses(words, variable + " is ", {{variable, value}});
  refuses({"tune", "--shapes", "rows1_seqk1"}, "XDG_DATA_HOME", {{"XDG_DATA_HOME", kUnset}, {"HOME", kUnset}});
}

TEST_F(Program, RefusesBrokenFiles) {
  make_samples();
  good({"analyze", "D/samples.csv", "--output-dir", "D"});
  write("run.json", kGoogleBenchmark);
  good({"collect", "run.json", "--out", "out/results.csv"});
  good({"analyze", "out/results.csv", "--output-dir", "out"});
  const std::string samples = read(path("D/samples.csv")), profile = read(path("D/profile.json"));

  const auto bad = [&](const std::string& text, std::string_view fragment, const Words& words) {
    write("bad", text);
    refuses(words, fragment);
  };
  const Words analyze = {"analyze", "bad", "--output-dir", "out"}, collect = {"collect", "bad", "--out", "out/results.csv"},
              apply = {"apply", "bad", "--force"}, regret = {"regret", "--samples", "D/samples.csv", "--profile", "bad"},
              score = {"regret", "--samples", "bad"};
  std::string noise(4096, '\0');
  std::mt19937 random(3);
  for (char& c : noise) c = static_cast<char>(random());
  std::string printable = noise;
  for (char& c : printable) c = static_cast<char>(c == '\0' ? 'x' : c);
  for (const Words& words : {analyze, collect, apply, regret, score})
    for (const std::string& text : {std::string(), std::string("\n"), noise, printable, std::string("\x1b[31m,\x1b[2J\n1,2\n"),
                                    std::string(100'000, '['), std::string("{}"), std::string("null")})
      bad(text, "bad", words);

  // Cut short anywhere, a table is refused or has fewer whole rows; the middle of a row is neither.
  bad(samples.substr(0, samples.rfind(',')), "fields where the header has", analyze);
  bad(samples.substr(0, 20), "bad line 1", analyze);
  bad("benchmark,variant,parameters,mean_time,throughput\n", "no timed variant", analyze);
  bad(std::string(kFiveColumns) + "softmax_f32,cpu_vec,rows64_seqk256,99999999999999999999e999,1\n", "line 6 column mean_time",
      analyze);
  bad(std::string(kFiveColumns) + "softmax_f32,cpu_vec,rows99999999999999999999_seqk1,1,1\n", "number too large", analyze);
  bad(std::string(kFiveColumns) + "softmax_f32,cpu_vec,\"\x1b[31m\n\",1,1\n", "row 5", analyze);
  bad("variant,parameters,dtype,block,time_ns\ncpu_vec,rows1_seqk1,f32,99999999999999999999,1\n", "column block", analyze);
  bad("variant,parameters,dtype,block,time_ns\ncpu_vec,rows1_seqk1,f32,0,0\n", "must be above 0", analyze);
  bad("variant,parameters,dtype,block,time_ns\ncpu_vec,rows1_seqk1,f32,0,1\ncpu_vec,rows1_seqk1,f32,0,1\n", "twice", analyze);

  bad(std::string(kFiveColumns) + std::string(300, 'v') + ",cpu_vec,rows1_seqk1,1,1\n", "at most 256 bytes", analyze);

  const std::string runs(kGoogleBenchmark);
  const auto replaced = [](std::string text, std::string_view what, std::string_view with) {
    const size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return at == std::string::npos ? text : text.replace(at, what.size(), with);
  };
  bad(runs.substr(0, runs.size() / 2), "cut short", collect);
  bad(R"({"context": {}, "benchmarks": []})", "no benchmark run", collect);
  bad(replaced(runs, "direct/cpu_vec", "direct"), "benchmarks[0].name", collect);
  bad(replaced(runs, "rows64_seqk256", "\\u001b[31m"), "benchmarks[0].name", collect);
  bad(replaced(runs, "2.0", "1e999"), "number is out of range", collect);
  bad(replaced(runs, "2.0", "1e300"), "benchmarks[0].real_time", collect);
  bad(replaced(runs, "2.0", "-1"), "benchmarks[0].real_time", collect);
  bad(replaced(runs, "\"us\"", "\"h\""), "use ns, us, ms or s", collect);

  for (const Words& words : {apply, regret}) {
    bad(profile.substr(0, profile.size() / 2), "cut short", words);
    bad(replaced(profile, "\"schema\": 1", "\"schema\": 99999999999999999999"), "schema is", words);
    bad(replaced(profile, "\"paired\": true", "\"paired\": 1"), "paired is", words);
    bad(replaced(profile, "\"fingerprint\": \"", "\"fingerprint\": \"other_\\u001b[31m"), "this ", words);
  }
  bad(replaced(profile, "\"model\": \"any\"", "\"model\": \"../../any\""), "model name", apply);
  const std::string here = fingerprint(cpu::facts());
  bad(replaced(samples, here, "another"), "device", analyze);

  write("D/device.json", "{}");
  refuses({"report", "D"}, "device.json: schema is");
}

TEST_F(Program, RefusesPlacesThatCannotBeReadOrWritten) {
  make_samples();
  good({"analyze", "D/samples.csv", "--output-dir", "D"});
  write("run.json", kGoogleBenchmark);
  write("file", "x");
  fs::create_directories(path("folder"));
  fs::create_directories(path("taken/report.html"));
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const Words tune = {"tune", "--shapes", "rows4_seqk64", "--budget", "600s", "--output-dir"};  // must not begin to measure
  const Words bench = {"bench", "--shapes", "rows4_seqk64", "--budget", "600s", "--out"};
  const auto at = [](Words words, const std::string& place) {
    words.push_back(place);
    return words;
  };
  refuses(at(tune, "file/below"), "Not a directory");
  refuses(at(tune, "taken"), "report.html");
  refuses(at(tune, "D"), "Not a directory", {{"XDG_DATA_HOME", path("file")}});
  refuses(at(bench, "file/below.csv"), "Not a directory");
  refuses(at(bench, "folder"), "not a regular file");
  refuses(at(bench, "pipe"), "not a regular file");
  EXPECT_TRUE(fs::is_fifo(path("pipe"))) << "a pipe, or /dev/null, is not replaced by a file";
  refuses({"analyze", "D/samples.csv", "--output-dir", "file/below"}, "Not a directory");
  refuses({"collect", "run.json", "--out", "file/below.csv"}, "Not a directory");
  refuses({"collect", "run.json", "--out", "folder"}, "not a regular file");
  refuses({"apply", "D/profile.json"}, "Not a directory", {{"XDG_DATA_HOME", path("file")}});
  for (const Words& words : {Words{"analyze"}, Words{"apply"}, Words{"collect", "--out", "new.csv"}, Words{"regret", "--samples"},
                             Words{"regret", "--samples", "D/samples.csv", "--profile"}}) {
    refuses(at(words, "folder"), "not a regular file");
    refuses(at(words, "pipe"), "not a regular file");
    refuses(at(words, "missing"), "No such file");
    refuses(at(words, "missing\x1b[31m\n" + std::string(200, 'x')), "No such file");
  }
  refuses({"report", "folder"}, "No such file");
  refuses({"report", "file"}, "Not a directory");
}

TEST_F(Program, HostileNamesOfGoodFilesAreEscaped) {
  const std::string hostile = "\x1b[31m\n" + std::string(200, 'y') + ".csv";
  write(hostile, "benchmark,variant\n1,2\n");
  refuses({"analyze", hostile}, "the header lacks the column");
  write(hostile, "rows1\n");
  refuses({"bench", "--shapes", hostile}, "line 1");
}

}  // namespace
}  // namespace metallic::cli
