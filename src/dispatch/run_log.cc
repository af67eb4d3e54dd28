// SPDX-License-Identifier: Apache-2.0
#include "dispatch/run_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/file_lock.h"
#include "base/json.h"
#include "ops/variant.h"

namespace metallic {
namespace {

constexpr size_t kMostEntries = 1 << 16;
constexpr size_t kMostEvents = 1 << 18;  // 8 MiB; a forward pass of an 8B model has about 300
constexpr size_t kMostRows = 100;        // in the summary

int this_thread() {
  thread_local const int id = gettid();
  return id;
}

double us(uint64_t time_ns) { return static_cast<double>(time_ns) / 1e3; }

// The caller may change its working directory before the file is written.
std::string absolute(const std::optional<std::string>& path) {
  std::error_code failed;
  if (!path) return {};
  const auto whole = std::filesystem::absolute(*path, failed);
  return failed ? *path : whole.native();
}

Result<Record> read_record(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return Record();
  METALLIC_TRY(const std::string text, read_file(path, kMostRecordBytes));
  return parse_record(text, in_quotes(path.native()));
}

// Prints to stderr: the caller's log function may be gone by now.
void say(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void warn(const Status& status, std::string_view variable) {
  if (!status) say(fmt::format("metallic warning: {}: {}\n", variable, status.error().message));
}

}  // namespace

class WatchedKernel final : public Kernel {
 public:
  WatchedKernel(std::shared_ptr<RunLog> log, RunLog::Entry& entry, std::unique_ptr<const Kernel> kernel)
      : log_(std::move(log)), entry_(entry), kernel_(std::move(kernel)) {}

  size_t workspace() const override { return kernel_->workspace(); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    entry_.second.runs.fetch_add(1, std::memory_order_relaxed);
    if (!log_->timed_) return kernel_->run(args, workspace, executor);
    const auto place = log_->stopwatch_ ? log_->stopwatch_->begin(&entry_, executor) : std::nullopt;
    const auto begin = RunLog::Clock::now();
    const Code code = kernel_->run(args, workspace, executor);
    log_->called(entry_, begin, RunLog::Clock::now());
    if (place) log_->stopwatch_->end(*place, executor);
    return code;
  }

 private:
  std::shared_ptr<RunLog> log_;
  RunLog::Entry& entry_;
  std::unique_ptr<const Kernel> kernel_;
};

Plan watch(const std::shared_ptr<RunLog>& log, Plan plan) {
  if (RunLog::Entry* entry = log->entry(plan)) plan.kernel = std::make_unique<WatchedKernel>(log, *entry, std::move(plan.kernel));
  return plan;
}

Result<std::shared_ptr<RunLog>> RunLog::create(const Environment& environment, const DeviceInfo& device, Executor& executor) {
  if (!environment.profiler && !environment.trace && !environment.record) return nullptr;
  const auto named = [](std::string_view variable, const Status& status) -> Status {
    if (status) return {};
    return fail(status.error().code, "environment variable {}: {}", variable, status.error().message);
  };
  if (environment.trace) METALLIC_CHECK(named("METALLIC_TRACE", check_writable(*environment.trace)));
  if (environment.record) {
    METALLIC_CHECK(named("METALLIC_RECORD", check_writable(*environment.record)));
    if (const auto there = read_record(*environment.record); !there)
      return fail(there.error().code, "environment variable METALLIC_RECORD: {}", there.error().message);
  }
  auto log = std::make_shared<RunLog>(environment, device);
  if (log->timed_ && executor.stream()) {
    METALLIC_TRY(log->stopwatch_, cuda::EventTimer::create(executor, RunLog::ran, log.get()));
  }
  return log;
}

RunLog::RunLog(const Environment& environment, const DeviceInfo& device)
    : profiler_(environment.profiler),
      timed_(environment.profiler || environment.trace),
      device_(device.id),
      trace_file_(absolute(environment.trace)),
      record_file_(absolute(environment.record)),
      events_(environment.trace ? kMostEvents : 0) {}

RunLog::~RunLog() {
  try {
    if (stopwatch_) stopwatch_->finish();
    if (profiler_) say(summary());
    // Without runs, the files of earlier contexts stay unchanged.
    if (claimed_ > 0) warn(write_file(trace_file_, trace()), "METALLIC_TRACE");
    if (!record_file_.empty()) warn(write_record(), "METALLIC_RECORD");
  } catch (const std::exception& error) {  // out of memory
    std::fputs("metallic warning: the run log is lost: ", stderr);
    std::fputs(error.what(), stderr);
    std::fputs("\n", stderr);
  }
}

RunLog::Entry* RunLog::entry(const Plan& plan) {
  const auto& [variant, tuning, source, unexpected] = plan.choice;
  Key key{record_key(plan.problem), to_string(*variant, *tuning)};
  const std::lock_guard lock(mutex_);
  if (entries_.size() >= kMostEntries && !entries_.contains(key)) {
    ++unwatched_;
    return nullptr;
  }
  const auto [at, is_new] = entries_.try_emplace(std::move(key));
  if (is_new) {
    at->second.op = name(plan.problem.op());
    at->second.variant = variant->name;
    at->second.tuning = to_string(*tuning);
  }
  return &*at;
}

void RunLog::Times::add(uint64_t ns) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  count.fetch_add(1, kRelaxed);
  total_ns.fetch_add(ns, kRelaxed);
  for (uint64_t least = least_ns; ns < least && !least_ns.compare_exchange_weak(least, ns, kRelaxed);) {
  }
  for (uint64_t most = most_ns; ns > most && !most_ns.compare_exchange_weak(most, ns, kRelaxed);) {
  }
}

double RunLog::Times::mean_us() const { return count == 0 ? 0 : us(total_ns) / static_cast<double>(count); }

void RunLog::called(Entry& entry, Clock::time_point begin, Clock::time_point end) {
  const auto ns = [](Clock::duration time) { return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count(); };
  entry.second.calls.add(static_cast<uint64_t>(ns(end - begin)));
  add_event({&entry, ns(begin.time_since_epoch()), ns(end - begin), this_thread()});
}

void RunLog::ran(void* log, const void* what, int64_t begin_ns, int64_t time_ns) {
  // WatchedKernel passed the pointer to its entry, which is not a const object.
  Entry& entry = *static_cast<Entry*>(const_cast<void*>(what));
  entry.second.on_device.add(static_cast<uint64_t>(time_ns));
  static_cast<RunLog*>(log)->add_event({&entry, begin_ns, time_ns, kDevice});
}

void RunLog::add_event(const Event& event) {
  if (events_.empty()) return;
  const uint64_t at = claimed_.fetch_add(1, std::memory_order_relaxed);
  if (at < events_.size()) events_[at] = event;
}

std::string RunLog::summary() const {
  std::vector<const Entry*> ran;
  uint64_t total_ns = 0;
  for (const Entry& entry : entries_)
    if (entry.second.runs > 0) ran.push_back(&entry), total_ns += times(entry.second).total_ns;
  if (ran.empty()) return {};
  std::ranges::stable_sort(ran, std::greater(), [&](const Entry* entry) { return times(entry->second).total_ns.load(); });
  const size_t more = ran.size() - std::min(ran.size(), kMostRows);
  ran.resize(ran.size() - more);
  size_t wide = 0;
  for (const Entry* entry : ran) wide = std::max(wide, entry->first.problem.label.size());
  std::string text = fmt::format("metallic profiler: time of runs on {}, longest total first\n", device_);
  text += fmt::format("{:<8} {:<{}} {:<5} {:<32} {:>9} {:>12} {:>6} {:>11} {:>11} {:>11}{}\n", "op", "label", wide, "dtype",
                      "variant", "runs", "total ms", "share", "mean us", "min us", "max us", stopwatch_ ? "   launch us" : "");
  for (const Entry* entry : ran) {
    const auto& [key, series] = *entry;
    const Times& times = this->times(series);
    text += fmt::format("{:<8} {:<{}} {:<5} {:<32} {:>9} {:>12.3f} {:>5.1f}% {:>11.2f} {:>11.2f} {:>11.2f}", series.op,
                        key.problem.label, wide, name(key.problem.dtype), key.candidate, series.runs.load(),
                        us(times.total_ns) / 1e3, total_ns == 0 ? 0 : 100 * us(times.total_ns) / us(total_ns), times.mean_us(),
                        times.count > 0 ? us(times.least_ns) : 0, us(times.most_ns));
    if (stopwatch_) text += fmt::format(" {:>11.2f}", series.calls.mean_us());
    text += fmt::format("{}{}\n", key.problem.rest.empty() ? "" : "  ", key.problem.rest);
  }
  if (more > 0) text += fmt::format("and {} more\n", more);
  if (unwatched_ > 0) text += fmt::format("{} plans of further problems were not watched\n", unwatched_);
  const auto untimed = stopwatch_ ? stopwatch_->untimed() : cuda::EventTimer::Untimed();
  if (untimed.captured > 0)
    text += fmt::format("{} runs were captured in graphs, whose replays are not seen\n", untimed.captured);
  if (untimed.dropped > 0) text += fmt::format("{} runs were not timed: too many were on their way\n", untimed.dropped);
  return text;
}

std::string RunLog::trace() const {
  const uint64_t claimed = claimed_, kept = std::min<uint64_t>(claimed, events_.size());
  const int process = getpid();
  std::map<const Entry*, std::string> described;  // each entry once: many events share few entries
  std::string text = "{\"displayTimeUnit\": \"ns\",\n";
  text += fmt::format("\"otherData\": {{\"dropped_events\": {}, \"unwatched_plans\": {}}},\n\"traceEvents\": [", claimed - kept,
                      unwatched_);
  if (stopwatch_)
    text += fmt::format("\n{{\"ph\": \"M\", \"name\": \"thread_name\", \"pid\": {}, \"tid\": {}, \"args\": {{\"name\": {}}}}}",
                        process, kDevice, Json(device_).dump());
  for (size_t i = 0; i < kept; ++i) {
    const Event& event = events_[i];
    std::string& what = described[event.entry];
    if (what.empty()) {
      const auto& [key, series] = *event.entry;
      Json args = {{"label", key.problem.label},
                   {"dtype", name(key.problem.dtype)},
                   {"variant", series.variant},
                   {"tuning", series.tuning}};
      if (!key.problem.rest.empty()) args["rest"] = key.problem.rest;
      what = fmt::format("\"name\": {}, \"args\": {}", Json(series.op).dump(), args.dump());
    }
    text += fmt::format("{}{{\"ph\": \"X\", \"ts\": {}.{:03}, \"dur\": {}.{:03}, \"pid\": {}, \"tid\": {}, {}}}",
                        i == 0 && !stopwatch_ ? "\n" : ",\n", event.begin_ns / 1000, event.begin_ns % 1000, event.time_ns / 1000,
                        event.time_ns % 1000, process, event.thread, what);
  }
  return text + "\n]}\n";
}

Status RunLog::write_record() const {
  Record ran;
  for (const auto& [key, series] : entries_)
    if (series.runs > 0) add(ran, {{key.problem, series.runs}});
  if (ran.empty()) return {};
  // Contexts that end at the same time, in this process or others, add to the file one after another.
  METALLIC_TRY(const FileLock lock, FileLock::take(record_file_));
  remove_leftovers(folder_of(record_file_));
  METALLIC_TRY(Record whole, read_record(record_file_));
  add(whole, ran);
  return write_file(record_file_, to_text(whole));
}

}  // namespace metallic
