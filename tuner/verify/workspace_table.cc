// SPDX-License-Identifier: Apache-2.0
#include "tuner/verify/workspace_table.h"

#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <set>

#include "ops/label.h"
#include "ops/registry.h"
#include "tuner/io/csv.h"
#include "tuner/verify/oracle.h"
#include "tuner/verify/trial.h"

extern "C" {
extern const char metallic_workspace_table_csv[];
extern const char metallic_workspace_table_csv_end[];
}

namespace metallic::validation {
namespace {

constexpr std::string_view kHeader[] = {"what", "label", "dtype", "threads", "target", "variant", "tuning", "bytes"};
constexpr int kThreads = 4;

// One of each kind that an engine runs: decoding, prefill, few and many rows, both sides of the weights, odd sizes.
constexpr std::string_view kLabels[] = {
    "rows64_seqk4096",
    "rows1_seqk131072",
    "batch32_seqq64_seqk1024_causal",
    "4096x4096x8",
    "8x4096x4096_tb",
    "1x4096x14336_tb",
    "128x4096x4096_packed",
    "512x512x512",
    "129x300x127_ta",
    "batch32_64x128x64_tb",
    "batch1_h32kv8_seqq1_seqk4096_d128_causal",
    "batch2_h8kv2_seqq128_seqk128_d64_causal",
};

DeviceInfo fixed_facts() { return {.id = "cpu", .backend = "cpu", .model = "fixed", .kind = CpuInfo{.cores = kThreads}}; }

// From the kernel's own walk over the pages: /proc/self/statm lags by up to 64 pages a thread. Anonymous pages only: how much of
// a program's file is mapped around the first call of a kernel is the system's choice, and up to some hundred KiB a kernel.
int64_t resident_bytes() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  for (std::string word; rollup >> word;)
    if (word == "Anonymous:") {
      int64_t kilobytes = 0;
      rollup >> kilobytes;
      return kilobytes << 10;
    }
  return 0;
}

// Operands that are resident before any run; what is more resident afterwards is the kernel's.
class Resident {
 public:
  Resident(const Problem& problem, Executor& executor) : executor_(executor) {
    const auto bytes = operand_bytes(problem);
    for (size_t i = 0; i < bytes.size(); ++i) {
      operands_.emplace_back(static_cast<size_t>(bytes[i]) + 64);
      fill_random(problem.dtype, operands_.back().data(), operands_.back().size() / size_of(problem.dtype), i);
    }
  }

  Result<int64_t> growth(const Kernel& kernel) {
    std::vector<std::byte> memory(kernel.workspace() + 64, std::byte{1});
    auto* workspace = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
    const Args args{.in = {operands_[0].data(), operands_[1].data(), operands_[2].data()}, .out = operands_[kOut].data()};
    const int64_t before = resident_bytes();
    if (const Code code = kernel.run(args, workspace, executor_); code != Code::ok)
      return fail(code, "a run failed: {}", name(code));
    return std::max<int64_t>(0, resident_bytes() - before);
  }

 private:
  Executor& executor_;
  std::vector<std::vector<std::byte>> operands_;
};

}  // namespace

std::string MemoryRow::key() const {
  return fmt::format("{} {} {} threads={} {} {}{}{}", what, label, dtype, threads, target, variant, tuning.empty() ? "" : "@",
                     tuning);
}

Result<std::vector<MemoryRow>> parse_memory(std::string_view text, std::string_view where) {
  std::vector<MemoryRow> rows;
  bool header = true;
  METALLIC_CHECK(read_csv(text, where, [&](const CsvRow& row) -> Status {
    if (std::exchange(header, false)) {
      if (!std::ranges::equal(row.fields, kHeader))
        return fail(Code::invalid_argument, "{} line {}: expected the columns {}", where, row.line, fmt::join(kHeader, ","));
      return {};
    }
    if (row.fields.size() != std::size(kHeader))
      return fail(Code::invalid_argument, "{} line {}: {} fields, expected {}", where, row.line, row.fields.size(),
                  std::size(kHeader));
    const auto number = [&](size_t column, auto& value) -> Status {
      const std::string& field = row.fields[column];
      const auto [stop, status] = std::from_chars(field.data(), field.data() + field.size(), value);
      if (status == std::errc() && stop == field.data() + field.size() && value >= 0) return {};
      return fail(Code::invalid_argument, "{} line {} column {}: {} is not a number ≥ 0", where, row.line, kHeader[column],
                  in_quotes(field));
    };
    MemoryRow parsed{.what = row.fields[0],
                     .label = row.fields[1],
                     .dtype = row.fields[2],
                     .target = row.fields[4],
                     .variant = row.fields[5],
                     .tuning = row.fields[6]};
    METALLIC_CHECK(number(3, parsed.threads));
    METALLIC_CHECK(number(7, parsed.bytes));
    rows.push_back(std::move(parsed));
    return {};
  }));
  return rows;
}

Result<std::vector<MemoryRow>> committed_memory() {
  return parse_memory(
      {metallic_workspace_table_csv, static_cast<size_t>(metallic_workspace_table_csv_end - metallic_workspace_table_csv)},
      "tuner/verify/workspace_table.csv");
}

std::string to_csv(const std::vector<MemoryRow>& rows) {
  std::string text = csv_line(std::vector<std::string>(std::begin(kHeader), std::end(kHeader)));
  for (const MemoryRow& row : rows)
    text += csv_line(std::vector<std::string>{row.what, row.label, row.dtype, std::to_string(row.threads), row.target,
                                              row.variant, row.tuning, std::to_string(row.bytes)});
  return text;
}

Result<std::vector<MemoryRow>> measure_memory(Executor& executor) {
  // Where the system gives huge pages to everybody, a thread's first byte on the stack would be 2 MiB.
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  std::vector<MemoryRow> rows;
  int64_t resident = 0;
  for (const std::string_view text : kLabels)
    for (const DType dtype : kDTypes) {
      METALLIC_TRY(Problem problem, parse_label(text));
      problem = with_dtype(problem, dtype);
      problem.threads = kThreads;
      Resident operands(problem, executor);
      const auto all = instances(problem.op(), fixed_facts());
      for (const Instance& instance : all) {
        if (instance.variant->family == "reference" || instance.variant->rejects(problem, instance.tuning, instance.device))
          continue;
        AnyPlanner planner(instance.device);
        METALLIC_TRY(const auto kernel, instance.variant->prepare(problem, instance.tuning, instance.device, planner));
        rows.push_back({.what = "workspace",
                        .label = std::string(text),
                        .dtype = std::string(name(dtype)),
                        .threads = kThreads,
                        .target = instance.device.isa(),
                        .variant = std::string(instance.variant->name),
                        .tuning = to_string(instance.tuning),
                        .bytes = static_cast<int64_t>(kernel->workspace())});
        if (instance.device.cpu().hwy_target != all.front().device.cpu().hwy_target) continue;
        METALLIC_TRY(const int64_t growth, operands.growth(*kernel));
        resident += growth;
      }
    }
  constexpr int64_t kStep = 1 << 20;
  rows.push_back({.what = "resident",
                  .label = "runs",
                  .dtype = "all",
                  .threads = kThreads,
                  .target = "all",
                  .variant = "all",
                  .tuning = "",
                  .bytes = (resident + kStep - 1) / kStep * kStep});
  return rows;
}

std::vector<std::string> memory_growth(const std::vector<MemoryRow>& measured, const std::vector<MemoryRow>& committed) {
  std::map<std::string, int64_t> allowed;
  std::set<std::string> targets;
  for (const MemoryRow& row : committed) {
    allowed[row.key()] = row.bytes;
    targets.insert(row.target);
  }
  std::vector<std::string> wrong;
  for (const MemoryRow& row : measured) {
    if (!targets.contains(row.target)) continue;
    const auto found = allowed.find(row.key());
    if (found == allowed.end())
      wrong.push_back(fmt::format("{}: not in the table: {} bytes", row.key(), row.bytes));
    else if (row.bytes > found->second)
      wrong.push_back(fmt::format("{}: {} bytes, the table allows {}", row.key(), row.bytes, found->second));
  }
  return wrong;
}

}  // namespace metallic::validation
