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
#include "dispatch/plan_cache.h"
#include "dispatch/select.h"
#include "ops/planner.h"

namespace metallic {

class RunLog;

struct ContextOptions {
  std::string device = "cpu";    ///< its id, see metallic devices
  void* stream = nullptr;        ///< of a GPU: the caller's queue, which must outlive the context; null: one of its own
  std::string model;             ///< whose profile to use; empty: the one applied last
  std::string profile;           ///< a profile of the caller's, or empty
  int threads = 0;               ///< CPU threads; 0: METALLIC_NUM_THREADS, or one per core. Ignored with an executor
  Executor* executor = nullptr;  ///< the caller's; must outlive the context. Of the CPU
  bool patient = false;          ///< threads of ours are waited for however long others keep the cores: for measuring
  CallOptions call;              ///< defaults of every call
  bool libraries = false;        ///< load them; else only where a profile, the environment or `call` names a library's variant
  Lookup environment = process_environment();
  std::optional<DeviceInfo> device_info;  ///< for tests: in place of this machine's
  Logger::Sink log;                       ///< where messages go; unset: to stderr
};

class Context final : public Planner {
 public:
  /// Reads the environment and the profiles. A profile that cannot be used is passed over with one warning; a wrong
  /// environment variable is an error.
  static Result<std::unique_ptr<Context>> create(ContextOptions options);
  ~Context() override;

  /// What runs a problem with the context's thread count and options. The rules are compiled at the first problem of each type
  /// and layout; from then on it takes no lock, and no memory where no rule is refused.
  Result<Choice> choose(const Problem& problem) const;

  /// The same with its record of why, for whatever options.
  Result<Decision> decide(Problem problem, const CallOptions& options) const;
  Result<Decision> decide(const Problem& problem) const { return decide(problem, options_.call); }

  /// A new plan, owned by the caller, independent of the context but for its executor.
  Result<Plan> plan(const Problem& problem, const CallOptions& options);
  Result<Plan> plan(const Problem& problem) { return plan(problem, options_.call); }
  Result<Plan> plan_part(const Problem& part) override;

  /// The plan of a problem, made at its first use and kept as long as the context; safe from several threads, and no lock is
  /// taken where it is there. The problem's thread count is the context's.
  Result<const Plan*> cached_plan(const Problem& problem);

  /// Measures what starting and joining the executor's threads takes, in place of what a profile or nobody knows: for a tune,
  /// whose profile keeps it. Before any plan is made.
  void measure_join();

  const DeviceInfo& device() const { return device_; }
  const Environment& environment() const { return environment_; }
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
  Result<Decision> decision(const Problem& problem, const CallOptions& options) const;
  Result<Plan> make(const Problem& problem, const CallOptions& options);
  void report_refused(const Decision& decision) const;
  void report(const Decision& decision) const;

  ContextOptions options_;
  Environment environment_;
  DeviceInfo device_;
  std::vector<ProfileLevel> profiles_;
  std::unique_ptr<Executor> own_executor_;
  Executor* executor_ = nullptr;
  int threads_ = 1;  // the executor's, which do not change
  std::unique_ptr<Logger> log_;
  std::shared_ptr<RunLog> run_log_;    // null where runs are not logged; what it watches shares it
  std::unique_ptr<RuleTables> rules_;  // of the context's own threads and options
  PlanCache plans_;
};

/// Facts of the device of that id: "cpu", or of a GPU. Errors: there is none, and which there are.
Result<DeviceInfo> find_device(std::string_view id);

/// A decision on one line, as the debug log prints it.
std::string to_string(const Decision& decision);

}  // namespace metallic
