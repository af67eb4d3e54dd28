// SPDX-License-Identifier: Apache-2.0
// metallic gate: real workers, recorded files, and errors in both.
#include <boost/property_tree/ptree.hpp>
#include <boost/property_tree/xml_parser.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "ops/registry.h"
#include "testing/program.h"
#include "tuner/bench/bench_worker.h"
#include "tuner/workloads/weighted_problems.h"

extern "C" const char metallic_gate_benchmarks[], metallic_gate_benchmarks_end[];

namespace metallic::cli {
namespace {

class GateProgram : public Program {
 protected:
  // One thread: tests may share the machine.
  const Variables kOneThread = {{"METALLIC_NUM_THREADS", "1"}};

  // A file of samples: `blocks` noisy times of two kernels around 1000 ns.
  std::string samples(int blocks, uint64_t seed, double slower_vec = 0, const std::string& device = "here") const {
    std::string text = "variant,parameters,dtype,tuning,cache,block,time_ns,device\n";
    std::mt19937_64 random(seed);
    for (int block = 0; block < blocks; ++block)
      for (const char* variant : {"cpu_vec", "cpu_block"}) {
        const double noise = 0.04 * (static_cast<double>(random() >> 11) * 0x1p-53 - 0.5);
        const double slower = std::string_view(variant) == "cpu_vec" ? slower_vec : 0;
        text += fmt::format("{},rows64_seqk512,f32,unroll=4,warm,{},{},{}\n", variant, block, 1000 * (1 + slower) * (1 + noise),
                            device);
      }
    return text;
  }

  void script(const std::string& name, const std::string& body) const {
    write(name, "#!/bin/sh\n" + body + "\n");
    fs::permissions(path(name), fs::perms::owner_all);
  }
};

TEST_F(GateProgram, TwoProcessesOfOneBuildRaiseNoAlarm) {
  const Words words = {"gate",       "--base",         METALLIC_PROGRAM, "--head",   METALLIC_PROGRAM,
                       "--shapes",   "rows64_seqk512", "1x256x512_tb",   "--budget", "2s",
                       "--markdown", "g.md",           "--junit",        "g.xml",    "--json"};
  const ProgramResult ended = run(words, kOneThread);
  ASSERT_TRUE(ended.code == 0 || ended.code == 3) << said(words, ended);
  const auto json = parse_json(ended.out, "gate", 1 << 20);
  ASSERT_TRUE(json) << said(words, ended);
  EXPECT_EQ((*json)["verdict"], ended.code == 0 ? "pass" : "inconclusive");
  ASSERT_EQ((*json)["benchmarks"].size(), 3u) << "softmax warm and cold, the weights of a matmul cold";
  for (const Json& benchmark : (*json)["benchmarks"]) {
    EXPECT_GE(benchmark["blocks"], 15) << "the minimum, whatever the budget";
    EXPECT_LE(benchmark["blocks"], 480);
    EXPECT_GT(benchmark["ratio"], 0.0);
    EXPECT_EQ(benchmark["threads"], 1);
    EXPECT_TRUE(has(benchmark["variant"], "cpu_"));
  }

  boost::property_tree::ptree document;
  std::istringstream xml(read(path("g.xml")));
  ASSERT_NO_THROW(read_xml(xml, document));
  const auto& suite = document.get_child("testsuite");
  EXPECT_EQ(suite.get<int>("<xmlattr>.tests"), 3);
  EXPECT_EQ(suite.get<int>("<xmlattr>.failures"), 0);
  EXPECT_EQ(suite.count("testcase"), 3u);

  const std::string markdown = read(path("g.md"));
  EXPECT_TRUE(has(markdown, "\n|---|---:|---:|---:|---|---|\n")) << markdown;
  std::istringstream lines(markdown);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("|")) {
      EXPECT_EQ(std::ranges::count(line, '|'), 7) << line;
    }
}

TEST_F(GateProgram, AFaultInjectedKernelFailsByName) {
  const Words words = {"gate",
                       "--base",
                       METALLIC_PROGRAM,
                       "--head",
                       METALLIC_FAULT_INJECTED_PROGRAM,
                       "--shapes",
                       "rows64_seqk512",
                       "rows8_seqk4096",
                       "--cache",
                       "warm",
                       "--budget",
                       "30s",
                       "--junit",
                       "g.xml"};
  Variables variables = kOneThread;
  variables["METALLIC_TEST_SLOWED"] = "rows64_seqk512";
  variables["METALLIC_TEST_REPEATS"] = "1";
  const ProgramResult ended = run(words, variables);
  ASSERT_EQ(ended.code, 1) << said(words, ended);
  EXPECT_TRUE(has(ended.out, "fail: of 2 benchmarks 1 slower")) << ended.out;
  boost::property_tree::ptree document;
  std::istringstream xml(read(path("g.xml")));
  ASSERT_NO_THROW(read_xml(xml, document));
  for (const auto& [kind, test] : document.get_child("testsuite"))
    if (kind == "testcase") {
      EXPECT_EQ(test.count("failure") == 1, has(test.get<std::string>("<xmlattr>.name"), "rows64_seqk512"))
          << "the slowed kernel fails";
    }
}

TEST_F(GateProgram, TheDefaultListHasEachOperation) {
  const auto list = parse_problem_list({metallic_gate_benchmarks, metallic_gate_benchmarks_end}, "gate_benchmarks.txt");
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ(list->size(), 8u);
  std::map<Op, int> by_op;
  for (const WeightedProblem& weighted : *list) {
    EXPECT_TRUE(weighted.typed) << "a line names its type";
    ++by_op[weighted.problem.op()];
  }
  EXPECT_EQ(by_op.size(), operations().size());
}

TEST_F(GateProgram, CalibratesOnEqualBuilds) {
  const Json json = this->json({"gate", "--base", METALLIC_PROGRAM, "--calibrate", "--shapes", "rows64_seqk512", "--cache",
                                "warm", "--budget", "1s", "--json"},
                               kOneThread);
  EXPECT_EQ(json["alarms"]["of"], 1000);
  EXPECT_LE(json["alarms"]["low"], json["alarms"]["high"]);
  EXPECT_EQ(json["slowdown"], 0.05);
  ASSERT_EQ(json["benchmarks"].size(), 1u);
  EXPECT_GE(json["benchmarks"][0]["blocks"], 15);
  EXPECT_GE(json["benchmarks"][0]["blocks_needed"], 15.0);
  refuses({"gate", "--base", "missing", "--calibrate"}, "takes a program");
}

TEST_F(GateProgram, ComparesRecordings) {
  write("base.csv", samples(60, 1));
  write("same.csv", samples(60, 2));
  write("slow.csv", samples(60, 3, 0.05));
  const std::string passed = good({"gate", "--base", "base.csv", "--head", "same.csv"});
  EXPECT_TRUE(has(passed, "pass: of 2 benchmarks")) << passed;
  EXPECT_TRUE(has(passed, "weaker evidence")) << passed;
  const ProgramResult slow = run({"gate", "--base", "base.csv", "--head", "slow.csv"});
  EXPECT_EQ(slow.code, 1) << slow.out;
  EXPECT_TRUE(has(slow.out, "fail: of 2 benchmarks 1 slower")) << slow.out;
  good({"gate", "--base", "slow.csv", "--head", "base.csv"});

  write("more.csv", samples(70, 4) + "cpu_online,rows64_seqk512,f32,,warm,0,5,here\n");
  const std::string more = good({"gate", "--base", "base.csv", "--head", "more.csv"});
  EXPECT_TRUE(has(more, "60 blocks in base, 70 in head: the last 10 have no partner")) << more;
  EXPECT_TRUE(has(more, "only in head: rows64_seqk512 f32 warm cpu_online")) << more;
}

TEST_F(GateProgram, RefusesToDecideOnLittle) {
  const auto inconclusive = [&](const std::string& base, const std::string& head, std::string_view fragment) {
    write("base.csv", base);
    write("head.csv", head);
    const Words words = {"gate", "--base", "base.csv", "--head", "head.csv"};
    const ProgramResult ended = run(words);
    EXPECT_EQ(ended.code, 3) << said(words, ended);
    EXPECT_TRUE(has(ended.out, fragment)) << said(words, ended);
  };
  inconclusive(samples(1, 1), samples(1, 2), "1 blocks: at least 15 are needed");
  inconclusive(samples(14, 1), samples(100, 2, 0.5), "at least 15 are needed");
  const std::string header = "variant,parameters,dtype,block,time_ns\n";
  inconclusive(samples(20, 1), header + "cpu_gemm,4x4x4,f32,0,1\n", "no benchmark in common");
  inconclusive(header, header, "no benchmark in common");
}

TEST_F(GateProgram, RefusesMalformedRecordings) {
  write("base.csv", samples(20, 1));
  const std::string good_text = samples(20, 2), header = good_text.substr(0, good_text.find('\n') + 1);
  const auto bad = [&](const std::string& text, std::string_view fragment) {
    write("head.csv", text);
    refuses({"gate", "--base", "base.csv", "--head", "head.csv"}, fragment);
  };
  bad("", "empty");
  bad(good_text.substr(0, good_text.rfind(',')), "fields where the header has");
  for (const char* time : {"nan", "-1", "inf", "1e999", "x", "0x1p3", ""})
    bad(header + "cpu_vec,rows64_seqk512,f32,unroll=4,warm,0," + time + ",here\n", "line 2 column time_ns");
  bad(header + "cpu_vec,rows64_seqk512,f32,unroll=4,warm,0,0,here\n", "must be above 0");
  bad(good_text + "cpu_vec,rows64_seqk512,f32,unroll=4,warm,7,1000,here\n",
      "block 7 has rows64_seqk512 f32 warm cpu_vec@unroll=4 twice");
  bad(samples(20, 2, 0, "there"), "times of two devices");
  bad(good_text + "cpu_vec,rows64_seqk512,f32,unroll=4,warm,99,1000,there\n", "one device at a time");
  bad(header + "cpu_vec,rows99999999999999999999_seqk1,f32,,warm,0,1,here\n", "number too large");
  bad(header + "cpu_vec,rows1_seqk1,f99,,warm,0,1,here\n", "column dtype");
  bad(header + "<script>|\x1b[31m,rows1_seqk1,f32,,warm,0,1,here\n", "is no name");
  refuses({"gate", "--base", "base.csv", "--head", "missing.csv"}, "No such file");
  refuses({"gate", "--base", "base.csv", "--head", "."}, "not a regular file");
}

TEST_F(GateProgram, RefusesWrongUsage) {
  write("base.csv", samples(20, 1));
  refuses({"gate"}, "--base");
  refuses({"gate", "--base", "base.csv"}, "--head");
  refuses({"gate", "--base", "base.csv", "--head", METALLIC_PROGRAM}, "not one of each");
  refuses({"gate", "--base", "base.csv", "--head", "base.csv", "--tau", "0.025"}, "--tau");
  refuses({"gate", "--base", "base.csv", "--head", "base.csv", "--junit", "base.csv/below"}, "Not a directory");
  refuses({"gate", "--base", METALLIC_PROGRAM, "--head", METALLIC_PROGRAM, "--shapes", "rows1"}, "rows1");
}

TEST_F(GateProgram, RefusesProgramsThatMisbehave) {
  const auto ends = [&](const std::string& body, int code, std::string_view fragment) {
    script("other", body);
    const Words words = {"gate",     "--base",       path("other"), "--head", METALLIC_PROGRAM,
                         "--shapes", "rows8_seqk64", "--budget",    "1s"};
    const ProgramResult ended = run(words, kOneThread);
    EXPECT_EQ(ended.code, code) << said(words, ended);
    EXPECT_TRUE(has(ended.err, fragment)) << said(words, ended);
    EXPECT_EQ(ended.err.find('\n') + 1, ended.err.size()) << "not one line: " << said(words, ended);
  };
  ends("echo 'metallic: unknown subcommand \"arms\": see metallic --help' >&2; exit 2", 3, "too old to be gated");
  ends("read ask; echo '{\"protocol\": 99}'; read more", 3, "version 99 of the bench protocol");
  ends("echo nonsense >&2; exit 7", 2, "exited with code 7: \"nonsense\"");
  ends("kill -9 $$", 2, "was killed by signal 9");
  ends("read ask; echo hello", 2, "answered \"hello\" instead of a JSON object");
  ends("read ask; echo '{\"error\": \"no\\u001b[31m\"}'", 2, "no");
  ends("read ask; head -c 100000 /dev/zero | tr '\\0' x; sleep 9", 2, "without a newline");
  const auto hello_of = [](const std::string& device) {
    return fmt::format("read ask; echo '{{\"protocol\": {}, \"build\": \"b\", \"device\": \"{}\", \"threads\": 1}}'",
                       kBenchProtocol, device);
  };
  const std::string hello = hello_of(fingerprint(cpu::device()));
  ends(hello + "; read ask; echo '{\"variant\": 5}'", 2, "variant");
  ends(hello_of("moon") + "; read more", 2, "two devices");
}

}  // namespace
}  // namespace metallic::cli
