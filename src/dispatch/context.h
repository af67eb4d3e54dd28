// SPDX-License-Identifier: Apache-2.0
// A context: device, profiles and environment read once, and the plans made from them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "dispatch/environment.h"
#include "dispatch/select.h"
#include "ops/planner.h"

namespace metallic {

class RunLog;

struct ContextOptions {
  std::string device = "cpu";    ///< its id, as `metallic devices` prints it
  void* stream = nullptr;        ///< for a GPU: the caller's stream, which must outlive the context; null: its own
  std::string model;             ///< the model whose profile to use; empty: the profile applied last
  std::string profile;           ///< path of the caller's profile, or empty
  int threads = 0;               ///< CPU threads; 0: METALLIC_NUM_THREADS, else by cores and quota. Ignored with an executor
  Executor* executor = nullptr;  ///< the caller's, for the CPU only; must outlive the context
  bool patient = false;          ///< always wait for our threads, however long others occupy the cores: for measuring
  CallOptions call;              ///< defaults of every call
  bool libraries = false;        ///< always load them; else only if a profile, the environment or `call` names one's variant
  Lookup environment;            ///< reads variables; unset: the process environment
  std::optional<DeviceInfo> device_info;  ///< for tests: replaces this machine's
  Logger::Sink log;                       ///< receives messages; unset: they go to stderr
};

class Context final : public Planner {
 public:
  /// Reads the environment and the profiles. A profile that cannot be used is ignored with one warning; a wrong environment
  /// variable is an error.
  static Result<std::unique_ptr<Context>> create(ContextOptions options);
  ~Context() override;

  /// The choice for a problem, with the context's thread count and options. The first problem of each type and layout compiles
  /// the rules. From then on it takes no lock, and allocates nothing if no rule is refused.
  Result<Choice> choose(const Problem& problem) const;

  /// The same with the record of why, for any options.
  Result<Decision> decide(Problem problem, const CallOptions& options) const;
  Result<Decision> decide(const Problem& problem) const { return decide(problem, options_.call); }

  /// A new plan, owned by the caller. It depends on the context only for its executor.
  Result<Plan> plan(const Problem& problem, const CallOptions& options);
  Result<Plan> plan(const Problem& problem) { return plan(problem, options_.call); }
  Result<Plan> plan_part(const Problem& part) override;

  /// Why a plan made with these options runs what it runs, its parts included.
  Result<Decision> explain(const Plan& plan, const CallOptions& options) const;
  Result<Decision> explain(const Plan& plan) const { return explain(plan, options_.call); }

  /// Measures how long it takes to start and join the executor's threads, and replaces the value from a profile, if any. For a
  /// tuning run, whose profile stores the value. Call it before any plan is made.
  void measure_join();

  void warn(std::string text) const { log_->warn(std::move(text)); }

  const DeviceInfo& device() const { return device_; }
  const Environment& environment() const { return environment_; }
  const CallOptions& call_options() const { return options_.call; }
  const Lookup& lookup() const { return options_.environment; }
  std::span<const ProfileLevel> profiles() const { return profiles_; }
  Executor& executor() const { return *executor_; }
  int threads() const { return threads_; }

 private:
  class PartsPlanner;

  explicit Context(ContextOptions options);
  void use_libraries();
  void load_profiles();
  void use_measured_join();
  SelectionInputs selection(const CallOptions& options) const;
  RuleTables* tables(const Problem& problem, const CallOptions& options) const;
  Result<Choice> choice(const Problem& problem, const CallOptions& options) const;
  Result<Decision> decision(const Problem& problem, const CallOptions& options) const;
  Result<Plan> make(const Problem& problem, const CallOptions& options);
  void report_refused(const Decision& decision) const;
  Status report(const Plan& plan, const CallOptions& options) const;

  ContextOptions options_;
  Environment environment_;
  DeviceInfo device_;
  std::vector<ProfileLevel> profiles_;
  std::unique_ptr<Executor> own_executor_;
  Executor* executor_ = nullptr;
  int threads_ = 1;  // the executor's number, constant
  std::unique_ptr<Logger> log_;
  std::shared_ptr<RunLog> run_log_;  // null if runs are not logged; shared with the kernels it watches
  // For the context's options, and its thread count or one thread.
  std::unique_ptr<RuleTables> rules_, inline_rules_;
};

/// Device info for an id: "cpu", or a GPU's. If there is no such device, the error lists those that exist.
Result<DeviceInfo> find_device(std::string_view id);

/// A decision on one line, as the debug log prints it.
std::string to_string(const Decision& decision);

}  // namespace metallic
