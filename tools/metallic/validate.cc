// SPDX-License-Identifier: Apache-2.0
// metallic validate: checks each variant against the oracle on edge cases, and its memory against the committed table.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "device/cpu/cpu_info.h"
#include "device/cpu/thread_pool.h"
#include "device/cuda/cuda_devices.h"
#include "device/peers/cpu_libraries.h"
#include "device/peers/cuda_libraries.h"
#include "ops/label.h"
#include "ops/registry.h"
#include "tools/metallic/command.h"
#include "tools/metallic/inputs.h"
#include "tools/metallic/progress.h"
#include "tuner/verify/trial.h"
#include "tuner/verify/workspace_table.h"

namespace metallic::cli {
namespace {

using validation::Case;
using validation::Depth;
using validation::Instance;
using validation::Trial;

struct Options {
  std::string op;
  std::vector<std::string> dtypes;
  std::vector<std::string> shapes;
  std::string model;
  std::string write_memory;
  std::string device = "cpu";
  bool quick = false;
  bool peers = false;
  bool json = false;
};

// The current trial, for the message if a kernel hits a guard page.
std::array<char, 512> current{};

void report_fatal_signal(int signal) {
  const auto say = [](std::string_view text) { static_cast<void>(!write(STDERR_FILENO, text.data(), text.size())); };
  say("\nmetallic: ");
  say(current.data());
  say(signal == SIGILL ? ": illegal instruction\n" : ": touched memory beyond an operand\n");
  _exit(static_cast<int>(Exit::check_failed));
}

// Cases of one operation and pair of types.
struct CaseGroup {
  Op op;
  DType dtype, out_dtype;
  std::vector<Case> cases;
  size_t trials = 0;
  std::vector<std::string> failures;
};

std::string title(const CaseGroup& group) {
  return fmt::format("{} {}{}", name(group.op), name(group.dtype),
                     group.dtype == group.out_dtype ? "" : fmt::format("→{}", name(group.out_dtype)));
}

// The shapes of a list or model, with random values.
Result<std::vector<CaseGroup>> listed_groups(const Options& options) {
  METALLIC_TRY(const auto list, problems({.ops = options.op.empty() ? std::vector<std::string>() : std::vector{options.op},
                                          .shapes = options.shapes,
                                          .model = options.model,
                                          .dtypes = options.dtypes}));
  std::vector<CaseGroup> groups;
  for (const WeightedProblem& weighted : list) {
    Problem problem = weighted.problem;
    problem.threads = options.device == "cpu" ? cpu::device().cpu().cores : 1;
    const auto same = [&](const CaseGroup& g) { return g.op == problem.op() && g.dtype == problem.dtype; };
    auto group = std::ranges::find_if(groups, same);
    if (group == groups.end()) group = groups.insert(groups.end(), {problem.op(), problem.dtype, problem.out_dtype, {}, 0, {}});
    group->cases.push_back({.problem = problem});
  }
  return groups;
}

Result<std::vector<CaseGroup>> edge_groups(const Options& options) {
  std::vector<Op> ops(operations().begin(), operations().end());
  if (!options.op.empty()) {
    METALLIC_TRY(const Op op, parse_op(options.op));
    ops = {op};
  }
  std::vector<DType> dtypes;
  for (const std::string& text : options.dtypes) {
    const auto dtype = parse_dtype(text);
    if (!dtype) return fail(Code::invalid_argument, "--dtype {}: use {}", in_quotes(text), kDTypeNames);
    dtypes.push_back(*dtype);
  }
  const auto wanted = [&](DType dtype) { return dtypes.empty() || std::ranges::find(dtypes, dtype) != dtypes.end(); };
  std::vector<CaseGroup> groups;
  for (const Op op : ops)
    for (const DType in : kDTypes)
      for (const DType out : kDTypes) {
        if ((in != out && in != DType::f32 && out != DType::f32) || !wanted(in) || !wanted(out)) continue;
        groups.push_back({op, in, out, validation::cases(op, in, out, options.quick ? Depth::quick : Depth::full), 0, {}});
      }
  return groups;
}

class Runner {
 public:
  static Result<Runner> create(const std::string& device, bool peers) {
    Runner runner;
    METALLIC_TRY(runner.device_, find_device(device));
    const bool on_cpu = runner.device_.backend == "cpu";
    if (!on_cpu) {
      METALLIC_TRY(runner.stream_, cuda::make_stream(runner.device_));
    }
    if (peers) runner.device_.libraries = on_cpu ? cpu::libraries() : cuda::libraries();
    return runner;
  }

  void run(CaseGroup& group, Case each) {
    const auto& all = instances(group.op);
    if (stream_) each.problem.threads = 1;
    Trial trial(each);
    auto& pool = pools_[each.problem.threads];
    if (!stream_ && !pool) pool = std::make_unique<cpu::Pool>(each.problem.threads);
    Executor& executor = stream_ ? *stream_ : *pool;
    for (const Instance& instance : all) {
      if (!trial.concerns(instance)) continue;
      const std::string what = trial.describe(instance);
      current[what.copy(current.data(), current.size() - 1)] = 0;
      if (const auto wrong = trial.run(instance, executor)) group.failures.push_back(fmt::format("{}: {}", what, *wrong));
      ++group.trials;
    }
  }

 private:
  const std::vector<Instance>& instances(Op op) {
    auto& known = instances_[op];
    if (known.empty()) known = validation::instances(op, device_);
    return known;
  }
  DeviceInfo device_;
  std::unique_ptr<Executor> stream_;  // of a GPU
  std::map<Op, std::vector<Instance>> instances_;
  std::map<int, std::unique_ptr<cpu::Pool>> pools_;
};

Result<std::vector<std::string>> check_memory(size_t& rows) {
  cpu::Pool pool(4);
  METALLIC_TRY(const auto measured, validation::measure_memory(pool));
  METALLIC_TRY(const auto committed, validation::committed_memory());
  rows = measured.size();
  return validation::memory_growth(measured, committed);
}

constexpr size_t kMostShown = 5;  // of the failures of a group

void print(const std::vector<CaseGroup>& groups, size_t memory_rows, const std::vector<std::string>& growth) {
  const auto shown = [](const std::vector<std::string>& failures) {
    for (size_t i = 0; i < std::min(failures.size(), kMostShown); ++i) fmt::print("    {}\n", failures[i]);
    if (failures.size() > kMostShown) fmt::print("    … and {} more (--json has all)\n", failures.size() - kMostShown);
  };
  for (const CaseGroup& group : groups) {
    fmt::print("{:<20} {:>6} cases {:>8} runs  {}\n", title(group), group.cases.size(), group.trials,
               group.failures.empty() ? "ok" : fmt::format("{} wrong", group.failures.size()));
    shown(group.failures);
  }
  if (memory_rows == 0) return;
  fmt::print("{:<20} {:>6} rows                  {}\n", "memory", memory_rows,
             growth.empty() ? "ok" : fmt::format("{} grew", growth.size()));
  shown(growth);
}

Json json(const std::vector<CaseGroup>& groups, size_t memory_rows, const std::vector<std::string>& growth) {
  auto list = Json::array();
  for (const CaseGroup& group : groups)
    list.push_back({{"op", name(group.op)},
                    {"dtype", name(group.dtype)},
                    {"out_dtype", name(group.out_dtype)},
                    {"cases", group.cases.size()},
                    {"runs", group.trials},
                    {"failures", group.failures}});
  return {{"groups", list}, {"memory", {{"rows", memory_rows}, {"failures", growth}}}};
}

Result<Exit> run(const Options& options) {
  if (!options.write_memory.empty()) {
    cpu::Pool pool(4);
    METALLIC_TRY(const auto measured, validation::measure_memory(pool));
    METALLIC_CHECK(write_file(options.write_memory, validation::to_csv(measured)));
    return Exit::done;
  }
  const bool listed = !options.shapes.empty() || !options.model.empty();
  METALLIC_TRY(std::vector<CaseGroup> groups, listed ? listed_groups(options) : edge_groups(options));
  double total = 0, done = 0;
  for (const CaseGroup& group : groups) total += static_cast<double>(group.cases.size());
  size_t memory_rows = 0;
  std::vector<std::string> growth;
  {
    // Memory first: trials leave freed pages behind.
    Progress progress("validating");
    if (options.device == "cpu") {
      METALLIC_TRY(growth, check_memory(memory_rows));
    }
    for (const int signal : {SIGSEGV, SIGBUS, SIGILL}) ::signal(signal, report_fatal_signal);
    METALLIC_TRY(Runner runner, Runner::create(options.device, options.peers));
    for (CaseGroup& group : groups)
      for (const Case& each : group.cases) {
        progress.update(done++ / total, fmt::format("{} {}", title(group), label(each.problem)));
        runner.run(group, each);
      }
  }
  if (options.json)
    fmt::print("{}\n", json(groups, memory_rows, growth).dump(2, ' ', false, Json::error_handler_t::replace));
  else
    print(groups, memory_rows, growth);
  const bool failed = !growth.empty() || std::ranges::any_of(groups, [](const CaseGroup& g) { return !g.failures.empty(); });
  return failed ? Exit::check_failed : Exit::done;
}

}  // namespace

void add_validate(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "validate", "check the results and memory of each variant on this machine",
      [](const Command& command, Options& options) {
        command.option("--op", options.op, "only this operation: softmax, matmul or sdpa").type("OP");
        command.option("--dtype", options.dtypes, "only these element types, e.g. f32,bf16 [all]").split_at(',').type("DTYPE");
        const Option shapes =
            command.option("--shapes", options.shapes, "check these labels, or files of labels, instead of the edge cases")
                .type("LABEL");
        command.option("--model", options.model, "check the shapes of this model instead of the edge cases")
            .type("MODEL")
            .excludes(shapes);
        add_device_option(command, options.device);
        command.flag("--quick", options.quick, "check a selection of the edge cases, in seconds");
        command.flag("--peers", options.peers, "check the libraries of this machine too");
        command.option("--write-memory", options.write_memory, "only write the current table of memory to this file")
            .type("FILE");
        command.flag("--json", options.json, "print JSON");
      },
      run);
}

}  // namespace metallic::cli
