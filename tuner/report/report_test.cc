// SPDX-License-Identifier: Apache-2.0
// The report as a reader sees it: opened in a browser without a network, with malicious names in the data and with no data.
#include "tuner/report/report.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <regex>

#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/softmax/shape.h"

namespace metallic::tune {
namespace {

constexpr std::string_view kMalicious = "</script><b>\"x";
constexpr size_t kBlocks = 12;

CandidateTimes candidate(std::string variant, std::string tuning, double time, std::mt19937& random) {
  CandidateTimes made{.config = {std::move(variant), std::move(tuning)}};
  std::lognormal_distribution<double> noise(0, 0.04);
  for (size_t block = 0; block < kBlocks; ++block) made.time.push_back(time * noise(random));
  return made;
}

Measurements synthetic() {
  std::mt19937 random(7);
  Measurements measurements{.device = std::string(kMalicious), .build = "v1", .timed = 4242};
  for (const int64_t rows : {1, 64})
    for (int64_t seq_k = 64; seq_k <= 8192; seq_k *= 2)
      for (const bool cold : {false, true}) {
        const double each = static_cast<double>(rows * seq_k) * (cold ? 0.31 : 0.17);
        Series series{.problem = softmax_problem(rows, seq_k), .cache = cold ? "cold" : "warm"};
        series.label = label(series.problem);
        series.candidates.push_back(candidate("cpu_block", "segment=1024", 900 + 0.9 * each, random));
        series.candidates.push_back(candidate("cpu_block", "segment=4096", 1200 + 0.8 * each, random));
        series.candidates.push_back(candidate("cpu_vec", "unroll=4", 300 + each * (seq_k > 1024 ? 1.3 : 1), random));
        series.candidates.back().time.front() = std::nan("");
        measurements.series.push_back(std::move(series));
      }
  for (const int64_t n : {1, 2, 4, 8, 12, 16, 24, 32, 48, 64}) {
    const double work = 2.0 * 2048 * 2048 * static_cast<double>(n);
    Series series{.problem = matmul_problem(2048, 2048, n), .cache = "cold"};
    series.label = label(series.problem);
    series.candidates.push_back(candidate("cpu_gemm", "mr=8;nr=32", 900e3 + work / 80, random));
    series.candidates.push_back(candidate("cpu_gemv", "rows=8", 700e3 + work / 30, random));
    series.candidates.push_back(candidate("cpu_smalln", "", 750e3 + work / 45, random));
    measurements.series.push_back(std::move(series));
  }
  measurements.series.front().label = kMalicious;
  // Rounds of all series, a tenth of a second each.
  for (size_t block = 0; block < kBlocks; ++block)
    for (size_t i = 0; i < measurements.series.size(); ++i)
      measurements.series[i].at_s.push_back(0.1 * static_cast<double>(block) + 0.001 * static_cast<double>(i));
  return measurements;
}

Curve curve(const Measurements& measurements, Op op, std::string cache, std::string where, KernelConfig a, KernelConfig b) {
  Curve made{.op = op,
             .layout = op == kSoftmax ? "contiguous" : "nn",
             .cache = std::move(cache),
             .axis = op == kSoftmax ? Axis::seq_k : Axis::n,
             .where = std::move(where),
             .family_a = op == kSoftmax ? "vec" : "gemv",
             .family_b = op == kSoftmax ? "block" : "gemm"};
  for (const Series& series : measurements.series) {
    if (series.problem.op() != op || series.cache != made.cache) continue;
    if (op == kSoftmax && fmt::format("rows = {}", series.problem.as<SoftmaxShape>().rows()) != made.where) continue;
    const double time_a = std::ranges::find(series.candidates, a, &CandidateTimes::config)->time.back();
    const double time_b = std::ranges::find(series.candidates, b, &CandidateTimes::config)->time.back();
    const double ratio = std::log(time_a / time_b);
    made.points.push_back({*value(series.problem, made.axis), ratio, ratio - 0.06, ratio + 0.05, time_a, time_b});
  }
  return made;
}

Analysis analysis_of(const Measurements& measurements) {
  Analysis analysis;
  const KernelConfig block{"cpu_block", "segment=4096"}, vec{"cpu_vec", "unroll=4"};
  const KernelConfig gemm{"cpu_gemm", "mr=8;nr=32"}, gemv{"cpu_gemv", "rows=8"};
  for (const auto* cache : {"warm", "cold"})
    for (const auto* rows : {"rows = 1", "rows = 64"})
      analysis.curves.push_back(curve(measurements, kSoftmax, cache, rows, vec, block));
  analysis.curves.push_back(curve(measurements, kMatmul, "cold", "big = 2048, k = 2048, weights in A", gemv, gemm));
  for (Curve& each : analysis.curves)
    if (each.where != "rows = 1") {
      each.crossover = each.op == kSoftmax ? 1180 : 3;
      each.crossover_low = *each.crossover * 0.8;
      each.crossover_high = *each.crossover * 1.3;
    }
  for (const Series& series : measurements.series) {
    const bool softmax = series.problem.op() == kSoftmax;
    const bool large = softmax ? series.problem.as<SoftmaxShape>().seq_k > 1024 : series.problem.as<MatmulShape>().n > 3;
    const KernelConfig chosen = softmax ? (large ? block : vec) : (large ? gemm : gemv);
    const double share = static_cast<double>(analysis.verdicts.size() % 7) / 200;
    analysis.verdicts.push_back({&series, chosen, chosen, softmax ? vec : gemv, share - 0.005, share * 4});
  }
  analysis.verdicts.back().default_choice = {};
  analysis.verdicts.back().default_regret.reset();
  const RuleKey key{.op = kSoftmax, .layout = "contiguous"};
  analysis.lists.push_back(
      {key,
       {{{{Axis::seq_k, std::nullopt, 1152}, {Axis::rows, 2, 64}}, "cpu_vec", "unroll=4", {0.004, 0.05, 0.11, 900, "clear"}},
        {{}, "cpu_block", "segment=4096", {0.01, 0.2, std::nullopt, 1200, std::string(kMalicious)}}}});
  analysis.thresholds = {
      {.op = kSoftmax,
       .layout = "contiguous",
       .name = "softmax_vec_block",
       .where = "rows = 1",
       .value = 1024,
       .low = 700,
       .high = 2100,
       .band_low = 650,
       .band_high = 2300,
       .regret = 0.012,
       .kept_default = true},
      {.op = kSoftmax,
       .layout = "contiguous",
       .name = "softmax_vec_block",
       .where = "rows ≥ 2",
       .value = 1152,
       .low = 960,
       .high = 1408,
       .regret = 0.004},
      {.op = kMatmul, .layout = "nn", .name = "smalln_max_n", .value = 4, .low = 2, .high = 6, .regret = 0.008}};
  analysis.regret = {.mean = 0.0081, .p95 = 0.024, .worst = 0.031, .series = 42, .mean_low = 0.0071, .mean_high = 0.0092};
  analysis.unseen_regret = {.mean = 0.0123, .p95 = 0.031, .worst = 0.044, .series = 42};
  analysis.default_regret = {.mean = 0.094, .p95 = 0.41, .worst = 0.68, .series = 41};
  return analysis;
}

Profile profile() { return {.fingerprint = "epyc-avx3-8", .model = "llama", .build = "v1", .date = "2026-02-03T10:00:00Z"}; }

DeviceRecord device() {
  DeviceRecord record{.roofline = {.read_bytes_per_s = 24e9, .copy_bytes_per_s = 21e9, .flops_per_s = 95e9}, .seed = UINT64_MAX};
  record.noise = NoiseRecord{.readings = 900, .disturbed_share = 0.2, .lost_share = 0.11, .cpus = 2, .others_share = 0.3};
  record.device = {.id = "cpu",
                   .backend = "cpu",
                   .model = std::string(kMalicious),
                   .memory_bytes = int64_t{16} << 30,
                   .kind = CpuInfo{.isa = "AVX3"}};
  return record;
}

size_t occurrences(std::string_view text, std::string_view word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + word.size())) ++count;
  return count;
}

// The part of a page between a section's opening tag and its end.
std::string section(const std::string& page, std::string_view id) {
  const size_t start = page.find(fmt::format("<section id=\"{}\"", id));
  return start == page.npos ? "" : page.substr(start, page.find("</section>", start) - start);
}

std::string shell_quoted(const std::string& text) { return "'" + std::regex_replace(text, std::regex("'"), "'\\''") + "'"; }

class Browser : public testing::Test {
 protected:
  void SetUp() override {
    const char* named = std::getenv("METALLIC_CHROMIUM");
    program_ = shell_quoted(named && *named ? named : "chromium");
    if (std::system(("command -v " + program_ + " >/dev/null 2>&1").c_str()) != 0)
      GTEST_SKIP() << "no " << program_ << " to open the report with; METALLIC_CHROMIUM names one";
    std::string name = testing::TempDir() + "/metallic_report_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }

  void TearDown() override {
    std::error_code ignored;  // the browser's last helper may still be writing to its profile
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }

  // What the browser makes of a page, without the scripts' own text.
  std::string opened(const std::string& html) const {
    const auto file = folder_ / "report.html";
    std::ofstream(file, std::ios::binary) << html;
    const std::string command = fmt::format(
        "timeout 120 {} --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --user-data-dir={} "
        "--virtual-time-budget=5000 --dump-dom {} 2>/dev/null",
        program_, shell_quoted(folder_ / "browser"), shell_quoted("file://" + file.string()));
    FILE* pipe = popen(command.c_str(), "r");
    if (!pipe) return "";
    std::string dom;
    char buffer[4096];
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;) dom.append(buffer, got);
    EXPECT_EQ(pclose(pipe), 0) << command;
    for (size_t open; (open = dom.find("<script")) != dom.npos;) {
      const size_t close = dom.find("</script>", open);
      if (close == dom.npos) break;
      dom.erase(open, close + 9 - open);
    }
    return dom;
  }

  static void expect_drawn(const std::string& dom) {
    EXPECT_NE(dom.find("data-ready=\"true\""), dom.npos);
    const size_t fault = dom.find("data-error");
    EXPECT_EQ(fault, dom.npos) << dom.substr(fault == dom.npos ? 0 : fault, 300);
  }

  std::filesystem::path folder_;
  std::string program_;
};

TEST(Report, LoadsNothingAndEscapesText) {
  const Measurements measurements = synthetic();
  const std::string html = report_html(measurements, analysis_of(measurements), profile(), device());
  for (const auto* loading :
       {R"((src|href|action|data)\s*=\s*["']?\s*(https?:)?//)", R"(url\(\s*["']?\s*(https?:)?//)", R"(@import)", R"(<link\b)"})
    EXPECT_FALSE(std::regex_search(html, std::regex(loading))) << loading;
  EXPECT_EQ(html.find(kMalicious), html.npos);
  EXPECT_EQ(occurrences(html, "</script"), 6u);
  EXPECT_NE(html.find("\\u003c/script>\\u003cb>\\\"x"), html.npos);
  EXPECT_NE(html.find("18446744073709551615"), html.npos) << "a seed of 64 bits survives";
}

TEST(Report, ReplacesBytesThatAreNotUtf8AndDoesNotFillPlaceholdersInData) {
  Profile strange = profile();
  strange.model = "caf\xe9 {{css}}";
  const std::string html = report_html({}, {}, strange, device());
  EXPECT_EQ(html.find('\xe9'), html.npos);
  EXPECT_NE(html.find("\xef\xbf\xbd {{css}}"), html.npos);
}

TEST_F(Browser, DrawsChartsAndTables) {
  const Measurements measurements = synthetic();
  const std::string dom = opened(report_html(measurements, analysis_of(measurements), profile(), device()));
  expect_drawn(dom);
  EXPECT_EQ(occurrences(section(dom, "softmax"), "<canvas"), 2u);
  EXPECT_EQ(occurrences(section(dom, "matmul"), "<canvas"), 2u);
  EXPECT_EQ(occurrences(section(dom, "roofline"), "<canvas"), 1u);
  EXPECT_EQ(occurrences(section(dom, "samples"), "<canvas"), 2u);
  EXPECT_NE(section(dom, "samples").find("blocks of 42 problems in 1.14&nbsp;s."), dom.npos) << section(dom, "samples");
  EXPECT_NE(section(dom, "noise").find("The machine was busy: "), dom.npos);
  EXPECT_NE(section(dom, "thresholds").find("650 … 2,300"), dom.npos);
  EXPECT_EQ(occurrences(section(dom, "thresholds"), "<tr"), 1u + 3);
  EXPECT_EQ(occurrences(section(dom, "thresholds"), "default kept</span>"), 1u);
  EXPECT_EQ(occurrences(section(dom, "rules"), "<tr"), 1u + 2);
  EXPECT_NE(section(dom, "rules").find("seq_k ≤ 1152 and rows 2..64: cpu_vec@unroll=4"), dom.npos);
  const std::string regret = section(dom, "regret");
  EXPECT_EQ(occurrences(regret, "<tr"), 1u + 3 + 1u + measurements.series.size()) << "ways of choosing, then problems";
  EXPECT_NE(regret.find("0.71&nbsp;% … 0.92&nbsp;%"), regret.npos);
  EXPECT_LT(regret.find("2.50&nbsp;%"), regret.find("−0.50&nbsp;%")) << "worst first, negative ones as they are";
  EXPECT_EQ(dom.find("<b>"), dom.npos);
  EXPECT_NE(dom.find("&lt;/script&gt;&lt;b&gt;\"x</h1>"), dom.npos);
  EXPECT_NE(dom.find("id=\"unpaired\" class=\"warning\" role=\"alert\" hidden"), dom.npos);
}

TEST_F(Browser, RedrawsOnEverySelectionAndHover) {
  const Measurements measurements = synthetic();
  std::string html = report_html(measurements, analysis_of(measurements), profile(), device());
  html.insert(html.rfind("</body>"), R"(<script>
    const charts = () => Object.values(Chart.instances);
    for (const select of document.querySelectorAll("select"))
      for (const option of select.options) {
        select.value = option.value;
        select.dispatchEvent(new Event("change"));
      }
    for (const radio of document.querySelectorAll("input[type=radio]:enabled")) radio.click();
    for (const button of document.querySelectorAll("th button")) button.click();
    let shown = 0;
    for (const chart of charts()) {
      chart.setActiveElements([{datasetIndex: chart.data.datasets.length - 1, index: 0}]);
      chart.tooltip.setActiveElements([{datasetIndex: chart.data.datasets.length - 1, index: 0}], {x: 9, y: 9});
      chart.update();
      shown += chart.tooltip.body?.length > 0;
      chart.legend.options.onClick({}, chart.legend.legendItems[0], chart.legend);
    }
    document.documentElement.dataset.exercised = `${charts().length} charts, ${shown} tooltips`;
  </script>)");
  const std::string dom = opened(html);
  expect_drawn(dom);
  EXPECT_NE(dom.find("data-exercised=\"7 charts, 7 tooltips\""), dom.npos) << dom.substr(0, 400);
}

TEST_F(Browser, SaysWhatIsMissing) {
  const std::string dom = opened(report_html({.paired = false}, {}, {}, {}));
  expect_drawn(dom);
  EXPECT_EQ(occurrences(dom, "<canvas"), 0u);
  for (const auto* id : {"thresholds", "softmax", "matmul", "roofline", "rules", "samples", "regret", "noise"})
    EXPECT_EQ(occurrences(section(dom, id), "<p class=\"caption\""), 1u) << id;
  EXPECT_NE(dom.find("Unpaired results"), dom.npos);
}

TEST_F(Browser, DrawsSeriesWithoutCurvesAndWithASingleBlock) {
  Measurements measurements;
  Series series{.problem = softmax_problem(4, 100), .label = "rows4_seqk100", .cache = "unknown"};
  series.candidates = {{{"cpu_block", ""}, {std::nan("")}}, {{"cpu_vec", "unroll=4"}, {120.0}}};
  measurements.series.push_back(series);
  Analysis analysis;
  analysis.verdicts.push_back({&measurements.series.front(), {"cpu_block", ""}, {"cpu_vec", "unroll=4"}, {}, {}, {}});
  analysis.curves.push_back(
      {.op = kSoftmax, .layout = "contiguous", .cache = "unknown", .axis = Axis::seq_k, .where = "rows = 4"});
  const std::string dom = opened(report_html(measurements, analysis, profile(), device()));
  expect_drawn(dom);
  EXPECT_EQ(occurrences(section(dom, "regret"), "<tr"), 1u + 1);
  EXPECT_NE(section(dom, "softmax").find("there is no comparison to draw."), dom.npos) << "the curve has no points";
  EXPECT_NE(section(dom, "samples").find("the run cannot be replayed"), dom.npos) << "one block, without its time";
}

// If no place has two blocks, the intervals are infinite, which JSON cannot represent.
TEST_F(Browser, DrawsCurvesWithoutIntervalsAndPutsWeightedOnesFirst) {
  Measurements measurements = synthetic();
  for (Series& series : measurements.series) series.weight = series.problem.op() == kSoftmax ? 0 : 1;
  Analysis analysis = analysis_of(measurements);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (Curve& curve : analysis.curves)
    for (CurvePoint& point : curve.points) point.low = -kInfinity, point.high = kInfinity;
  Curve short_one = analysis.curves.front();
  short_one.where = "rows = 2";
  short_one.points.resize(2);
  analysis.curves.insert(analysis.curves.begin(), short_one);
  std::string html = report_html(measurements, analysis, profile(), device());
  EXPECT_NE(html.find("\"low\":null"), html.npos);
  html.insert(html.rfind("</body>"), R"(<script>
    const ratio = Object.values(Chart.instances)[1];
    ratio.tooltip.setActiveElements([{datasetIndex: 2, index: 0}], {x: 9, y: 9});
    document.documentElement.dataset.shown = ratio.tooltip.body[0].after.slice(0, 2).join("|");
  </script>)");
  const std::string dom = opened(html);
  expect_drawn(dom);
  EXPECT_NE(dom.find("data-shown=\"95 %: unknown|… unknown\""), dom.npos) << dom.substr(0, 300);
  const std::string softmax = section(dom, "softmax");
  EXPECT_EQ(softmax.find("vec against block · rows = 2 ·"), softmax.npos) << "two points are no curve";
  EXPECT_LT(softmax.find("vec against block · rows = 64 ·"), softmax.find("vec against block · rows = 1 ·"))
      << "those with a crossover first";
}

}  // namespace
}  // namespace metallic::tune
