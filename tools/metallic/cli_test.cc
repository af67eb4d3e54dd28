// SPDX-License-Identifier: Apache-2.0
// The subcommands: their output and files.
#include <nlohmann/json.hpp>
#include <set>

#include "ops/registry.h"
#include "profile/profile.h"
#include "testing/program.h"
#include "tuner/io/records.h"

namespace metallic::cli {
namespace {

TEST_F(Program, TunesInstallsAndExplains) {
  write("shapes", "rows4_seqk64..1024 2\nrows64_seqk2048\n1x256x512_tb # decode\n64x64x32\n");
  const std::string out = good({"tune", "--shapes", "shapes", "--budget", "2s", "--output-dir", "D", "--force"});
  for (const char* file : {"samples.csv", "results.csv", "device.json", "profile.json", "report.html"})
    EXPECT_GT(fs::file_size(path("D") / file), 100u) << file;
  EXPECT_TRUE(has(out, "softmax_vec_block")) << out;
  EXPECT_TRUE(has(out, "smalln_max_n")) << out;
  EXPECT_TRUE(has(out, "regret over ")) << out;
  EXPECT_TRUE(has(out, "these rules, held-out shapes")) << out;
  EXPECT_TRUE(has(out, "expected residual regret of the measured problems: ")) << out;
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
  EXPECT_TRUE(has(good({"regret", "--samples", "D/samples.csv"}), "largest regret"));

  fs::remove(path("D/report.html"));
  good({"report", "D"});
  EXPECT_TRUE(fs::exists(path("D/report.html")));
  good({"tune", "--shapes", "rows4_seqk64", "--cache", "warm", "--budget", "0.05s", "--force"});
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
  for (const char* which : {"regret", "unseen_regret", "default_regret"}) {
    const Json& regret = analysis[which];
    EXPECT_EQ(regret["series"].get<size_t>(), 9u) << "four softmaxes warm and cold, one matmul: " << regret;
    EXPECT_LE(regret["p95"], regret["worst"]) << regret;
    for (const char* key : {"mean", "p95"}) {
      const Json& interval = regret[std::string(key) + "_interval"];
      EXPECT_LE(interval[0], regret[key]) << regret;
      EXPECT_LE(regret[key], interval[1]) << regret;
    }
  }

  const std::string dry = good({"apply", "D/profile.json", "--dry-run"});
  EXPECT_TRUE(has(dry, "would write " + installed().native())) << dry;
  EXPECT_TRUE(has(dry, "+ ")) << dry;
  EXPECT_FALSE(fs::exists(root_ / "data")) << "a dry run writes nothing";
  EXPECT_TRUE(has(good({"apply", "D/profile.json"}), "installed " + installed().native()));
  EXPECT_FALSE(has(good({"apply", "D/profile.json", "--dry-run"}), "+ ")) << "nothing changes any more";

  const std::string results =
      good({"bench", "--budget", "0.05", "--shapes", "rows4_seqk64", "--cache", "warm", "--format", "csv"});
  write("R/results.csv", results);
  EXPECT_TRUE(has(good({"analyze", "R/results.csv", "--output-dir", "R"}), "unpaired"));
  EXPECT_TRUE(fs::exists(path("R/report.html")));
}

TEST_F(Program, FiveColumnsSuffice) {
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

TEST_F(Program, TunesInTheTypeOfTheModel) {
  const auto measured = [&](const std::string& key, const Words& more) {
    write("Typed/config.json", R"({"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "num_hidden_layers": 2,
                                   "vocab_size": 100, "max_position_embeddings": 128)" +
                                   key + "}");
    Words words = {"tune", "--model", path("Typed"), "--op", "softmax", "--budget", "0.1s", "--force"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words).err;
  };
  EXPECT_TRUE(has(measured(R"(, "torch_dtype": "bfloat16")", {}), " problems in bf16 on "));
  EXPECT_TRUE(has(measured(R"(, "torch_dtype": "bfloat16")", {"--dtype", "f16,f32"}), " problems in f16 and f32 on "));
  EXPECT_TRUE(has(measured(R"(, "dtype": "float32")", {}), " problems in f32 on "));
  EXPECT_TRUE(has(measured("", {}), " problems in f32 on "));
}

TEST_F(Program, PassesOverBenchmarksThatAreNotMetallics) {
  write("mixed.json", R"({"context": {}, "benchmarks": [
    {"name": "BM_memcpy/8/threads:2", "run_type": "iteration", "real_time": 5.0, "time_unit": "ns"},
    {"name": "direct/cpu_vec/f32/rows64_seqk256", "run_type": "iteration", "real_time": 2.0, "time_unit": "us", "GBps": NaN}]})");
  const ProgramResult ended = run({"collect", "mixed.json", "--out", "mixed.csv"});
  EXPECT_EQ(ended.code, 0);
  EXPECT_TRUE(has(ended.out, "1 rows from 1 file"));
  EXPECT_TRUE(has(ended.err, "mixed.json: passed over \"BM_memcpy/8/threads:2\": its name is not"));
}

TEST_F(Program, NamesThePartsOfAModelThatItLeavesOut) {
  write("Hybrid/config.json",
        R"({"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 100,
            "max_position_embeddings": 128, "layer_types": ["linear_attention", "full_attention"]})");
  const ProgramResult ended = run({"models", path("Hybrid")});
  EXPECT_EQ(ended.code, 0);
  EXPECT_TRUE(has(ended.err, "hybrid: layer_types: 1 of 2 layers have no attention"));
}

TEST_F(Program, TakesTheConfigurationOfAnyModel) {
  write("Tiny Model/config.json",
        R"({"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 100,
            "max_position_embeddings": 128})");
  const std::string config = path("Tiny Model/config.json");
  EXPECT_EQ(json({"models", config, "--json"})[0]["label"], "1x64x192_tb");
  good({"tune", "--model", config, "--op", "matmul", "--budget", "1s", "--force"});
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
  const Words bench = {"bench", "--budget", "0.01", "--shapes", "rows4_seqk64", "0x4x4", "2x8x4_a0.5_b2", "--cache", "warm"};
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

TEST_F(Program, HelpNamesEveryOption) {
  const std::pair<std::string, Words> kOptions[] = {
      {"tune",
       {"--op", "--shapes", "--model", "--dtype", "--budget", "--seed", "--cache", "--peers", "--output-dir", "--device",
        "--force"}},
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
  EXPECT_EQ(device["fingerprint"], fingerprint(cpu::device()));
  EXPECT_EQ(device["threads"], 2);
  EXPECT_TRUE(device["profile"].is_null());
  EXPECT_GT(device["memory_bytes"], 0);
  std::set<std::string> listed;
  for (const Json& row : json({"list", "--json"})) {
    listed.insert(row["op"].get<std::string>() + "/" + row["variant"].get<std::string>());
    EXPECT_FALSE(row["tunings"].empty()) << row;
    EXPECT_TRUE(row["variant"].get<std::string>().starts_with(row["backend"].get<std::string>() + "_")) << row;
  }
  std::set<std::string> table;
  for (const Op op : operations())
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
  const ProgramResult wrong = run({"env"}, {{"METALLIC_LOG_LEVEL", "loud"}});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_TRUE(has(wrong.out, "METALLIC_DETERMINISM")) << "the table is printed even if a value is wrong";
  EXPECT_TRUE(has(wrong.err, "METALLIC_LOG_LEVEL is \"loud\"")) << wrong.err;
}

TEST_F(Program, TimesALayerOfAModel) {
  write("tiny.json", R"({"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2,
                         "num_hidden_layers": 2, "vocab_size": 100, "max_position_embeddings": 128})");
  const Json layer = json({"bench", "--model", path("tiny.json"), "--layer", "--context", "32", "--prompt", "8", "--dtype",
                           "bf16", "--budget", "0.1s", "--json"});
  EXPECT_EQ(layer["dtype"], "bf16");
  ASSERT_EQ(layer["phases"].size(), 2u) << "decode and prefill";
  for (const Json& phase : layer["phases"]) {
    ASSERT_EQ(phase["steps"].size(), 6u);
    EXPECT_EQ(phase["steps"][1]["role"], "attention");
    for (const Json& step : phase["steps"]) {
      ASSERT_TRUE(step["ways"].contains("dispatcher") && step["ways"].contains("fixed defaults")) << step;
      for (const Json& way : step["ways"]) {
        EXPECT_GT(way["median_ns"], 0.0);
        EXPECT_GE(way["rounds"], 5);
      }
      EXPECT_FALSE(has(step["ways"]["fixed defaults"]["kernel"], "reference")) << step;
    }
    EXPECT_GT(phase["tokens_per_s"]["dispatcher"], 0.0);
  }
  EXPECT_EQ(layer["phases"][0]["steps"][1]["label"], "batch1_h4kv2_seqq1_seqk32_d16_causal");
  EXPECT_EQ(layer["phases"][1]["steps"][0]["label"], "8x64x128_tb");
  EXPECT_TRUE(
      has(good({"bench", "--model", path("tiny.json"), "--layer", "--context", "32", "--prompt", "8", "--budget", "0.1s"}),
          "tokens/s"));
  refuses({"bench", "--layer", "--dtype", "f32,bf16"}, "--layer takes one --dtype");
}

TEST_F(Program, ScoresPerformanceTargets) {
  write("aims.json", R"({"schema": 1, "aims": [
    {"name": "floor", "shapes": ["rows4_seqk64"], "dtypes": ["f32"], "cache": "warm", "against": "floor", "figure": 1e-6, "source": "s"},
    {"name": "types", "shapes": ["8x64x64"], "dtypes": ["f32", "bf16"], "cache": "warm", "against": "f32", "figure": 1000, "source": "s"},
    {"name": "causal", "shapes": ["batch2_seqq16_seqk16_causal"], "dtypes": ["f32"], "cache": "warm", "against": "full", "figure": 1000, "source": "s"}]})");
  const ProgramResult ended = run({"bench", "--aims", "aims.json", "--budget", "0.3s", "--json"});
  EXPECT_EQ(ended.code, 1) << "one target is out of reach: " << ended.err;
  const Json aims = Json::parse(ended.out)["aims"];
  ASSERT_EQ(aims.size(), 3u);
  for (const Json& aim : aims) {
    EXPECT_EQ(aim["problems"].size(), 1u) << aim;
    EXPECT_GT(aim["figure"], 0.0);
    EXPECT_EQ(aim["met"], aim["name"] != "types");
  }
  EXPECT_TRUE(has(good({"bench", "--aims", "aims.json", "--only", "floor", "--budget", "0.1s"}), "1 of 1 targets met"));
  refuses({"bench", "--aims", "aims.json", "--only", "gpu"}, "no target has a name with \"gpu\"");
  write(
      "bad.json",
      R"({"schema": 1, "aims": [{"name": "n", "source": "s", "shapes": ["8x8x8"], "dtypes": [], "cache": "hot", "figure": 1, "against": "floor"}]})");
  refuses({"bench", "--aims", "bad.json"}, "aims[0].cache: use warm or cold");
}

}  // namespace
}  // namespace metallic::cli
