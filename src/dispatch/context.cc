// SPDX-License-Identifier: Apache-2.0
#include "dispatch/context.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/cpu/cpu_info.h"
#include "device/cpu/thread_pool.h"
#include "device/cuda/cuda_devices.h"
#include "device/peers/cpu_libraries.h"
#include "device/peers/cuda_libraries.h"
#include "dispatch/built_in_profiles.h"
#include "dispatch/profile_store.h"
#include "dispatch/run_log.h"
#include "ops/label.h"
#include "ops/registry.h"

namespace metallic {
namespace {

Result<DeviceInfo> device_info(const ContextOptions& wanted) {
  if (wanted.device_info) return *wanted.device_info;
  if (wanted.device != "cpu" && wanted.executor)
    return fail(Code::invalid_argument, "device {} has a queue of its own: leave the executor out", in_quotes(wanted.device));
  if (wanted.device == "cpu" && wanted.stream)
    return fail(Code::invalid_argument, "device cpu has no stream: leave it out, or name a GPU");
  return find_device(wanted.device);
}

bool names_library(const Environment& environment) {
  return std::ranges::any_of(environment.variants, [](const auto& forced) { return calls_library(forced.second); });
}

bool names_library(const Profile& profile) {
  return std::ranges::any_of(profile.lists, [](const RuleList& list) {
    return std::ranges::any_of(list.rules, [](const Rule& rule) { return calls_library(rule.use); });
  });
}

// What a call forces is meant for the whole problem.
CallOptions of_parts(CallOptions options) {
  options.variant.clear();
  return options;
}

}  // namespace

// Plans the parts of a composed variant and stores their decisions. A variant that a call forces applies only to the whole.
class Context::PartsPlanner final : public Planner {
 public:
  PartsPlanner(Context& context, const CallOptions& options) : context_(context), options_(of_parts(options)) {}
  Result<Plan> plan_part(const Problem& part) override {
    METALLIC_TRY(Plan made, context_.make(part, options_));
    problems.push_back(part);
    unexpected |= made.choice.unexpected;
    return made;
  }
  std::vector<Problem> problems;
  bool unexpected = false;  // a choice among them

 private:
  Context& context_;
  CallOptions options_;
};

Context::Context(ContextOptions options) : options_(std::move(options)) {}
Context::~Context() = default;

Result<std::unique_ptr<Context>> Context::create(ContextOptions options) {
  std::unique_ptr<Context> context(new Context(std::move(options)));
  const ContextOptions& wanted = context->options_;
  const bool of_process = !wanted.environment;
  if (of_process) context->options_.environment = process_environment();
  METALLIC_TRY(context->environment_, read_environment(wanted.environment));
  METALLIC_TRY(context->device_, device_info(wanted));
  METALLIC_CHECK(check_names(context->environment_, context->device_));
  if (!wanted.model.empty()) METALLIC_CHECK(check_model_name(wanted.model));
  if (wanted.threads < 0 || wanted.threads > 1024)
    return fail(Code::invalid_argument, "threads is {}: use 1 to 1024, or 0 for one per core", wanted.threads);
  context->log_ = std::make_unique<Logger>(context->environment_.log_level, wanted.log);
  if (of_process) {
    for (const std::string& unknown : unknown_variables())
      context->log_->warn(fmt::format("environment variable {} is not known: metallic env lists those that are", unknown));
  }
  if (context->device_.is_cuda()) {
    METALLIC_TRY(context->own_executor_, cuda::make_stream(context->device_, wanted.stream));
    context->executor_ = context->own_executor_.get();
  } else if (wanted.executor) {
    context->executor_ = wanted.executor;
  } else {
    const int by_default = wanted.threads > 0 ? 0 : cpu::default_threads(context->device_.cpu().cores).threads;
    const int threads = wanted.threads > 0 ? wanted.threads : context->environment_.threads.value_or(by_default);
    auto pool = std::make_unique<cpu::Pool>(threads, wanted.patient);
    if (!pool->refusal().empty()) context->log_->warn(fmt::format("{}: plans use {}", pool->refusal(), pool->threads()));
    context->own_executor_ = std::move(pool);
    context->executor_ = context->own_executor_.get();
  }
  context->threads_ = context->executor_->threads();
  METALLIC_TRY(context->run_log_, RunLog::create(context->environment_, context->device_, *context->executor_));
  if (wanted.libraries || names_library(context->environment_) || calls_library(wanted.call.variant)) context->use_libraries();
  context->load_profiles();
  context->use_measured_join();
  context->rules_ = std::make_unique<RuleTables>(context->selection(wanted.call));
  context->inline_rules_ = std::make_unique<RuleTables>(context->selection(wanted.call));
  return context;
}

void Context::use_libraries() {
  if (!options_.device_info) device_.libraries = device_.is_cuda() ? cuda::libraries() : cpu::libraries();
}

void Context::load_profiles() {
  const auto load = [&](Source source, const std::filesystem::path& path, bool must_exist) {
    auto profile = load_profile(path, device_);
    if (!profile) {
      if (must_exist || profile.error().code != Code::not_found)
        log_->warn(profile.error().message + ": this profile is ignored");
      return;
    }
    for (const std::string& stale : stale_entries(*profile))
      log_->warn(fmt::format("{}: {}: this rule is ignored", path.native(), stale));
    if (names_library(*profile)) use_libraries();
    for (const std::string& stale : drop_stale_libraries(*profile, device_))
      log_->warn(fmt::format("{}: {}", path.native(), stale));
    profiles_.push_back({source, path.native(), std::move(*profile)});
  };
  if (environment_.profile == "none") return;
  if (!options_.profile.empty()) load(Source::caller, options_.profile, true);
  if (environment_.profile)
    load(Source::user, *environment_.profile, true);
  else if (const auto path = profile_path(device_, options_.model, options_.environment))
    load(Source::user, *path, false);
  for (ProfileLevel& level : built_in_levels(built_in_profiles(), device_, options_.model)) {
    if (level.source == Source::family && level.profile.fingerprint != fingerprint(device_))
      log_->log(LogLevel::info, fmt::format("another machine's rules stand in where this one has none: {}", level.path));
    profiles_.push_back(std::move(level));
  }
}

void Context::use_measured_join() {
  if (!device_.is_cpu()) return;
  for (const ProfileLevel& level : profiles_) {
    const DeviceInfo& measured = level.profile.device;
    if (level.source == Source::family || !measured.is_cpu() || measured.cpu().join_threads != threads_) continue;
    device_.cpu().join_ns = measured.cpu().join_ns;
    device_.cpu().join_threads = measured.cpu().join_threads;
    return;
  }
}

void Context::measure_join() {
  if (!device_.is_cpu()) return;
  device_.cpu().join_ns = cpu::join_ns(executor());
  device_.cpu().join_threads = threads_;
}

SelectionInputs Context::selection(const CallOptions& options) const { return {device_, environment_, options, profiles_}; }

Result<Choice> Context::choose(const Problem& problem) const {
  if (problem.threads != threads_) {
    Problem own = problem;
    own.threads = threads_;
    return choose(own);
  }
  METALLIC_CHECK(validate(problem));
  METALLIC_TRY(const RuleTable* rules, rules_->of(problem));
  return metallic::choose(problem, *rules, device_);
}

RuleTables* Context::tables(const Problem& problem, const CallOptions& options) const {
  if (options != options_.call) return nullptr;
  return problem.threads == threads_ ? rules_.get() : problem.threads == 1 ? inline_rules_.get() : nullptr;
}

Result<Decision> Context::decision(const Problem& problem, const CallOptions& options) const {
  RuleTables* const known = tables(problem, options);
  if (!known) return select(problem, selection(options));
  METALLIC_CHECK(validate(problem));
  METALLIC_TRY(const RuleTable* rules, known->of(problem));
  return metallic::decide(problem, *rules, device_);
}

Result<Choice> Context::choice(const Problem& problem, const CallOptions& options) const {
  METALLIC_CHECK(validate(problem));
  if (RuleTables* const known = tables(problem, options)) {
    METALLIC_TRY(const RuleTable* rules, known->of(problem));
    return metallic::choose(problem, *rules, device_);
  }
  const SelectionInputs inputs = selection(options);
  METALLIC_TRY(const RuleTable rules, RuleTable::compile(rule_key(problem, inputs.numerics()), inputs));
  return metallic::choose(problem, rules, device_);
}

Result<Decision> Context::decide(Problem problem, const CallOptions& options) const {
  problem.threads = threads();
  return decision(problem, options);
}

Result<Decision> Context::explain(const Plan& plan, const CallOptions& options) const {
  METALLIC_TRY(Decision whole, decision(plan.problem, options));
  for (const Problem& part : plan.parts) {
    METALLIC_TRY(Decision of_part, decision(part, of_parts(options)));
    whole.parts.push_back(std::move(of_part));
  }
  return whole;
}

Result<Plan> Context::plan(const Problem& problem, const CallOptions& options) {
  Problem whole = problem;
  whole.threads = threads();
  METALLIC_TRY(Plan made, make(whole, options));
  METALLIC_CHECK(report(made, options));
  return run_log_ ? watch(run_log_, std::move(made)) : std::move(made);
}

Result<Plan> Context::plan_part(const Problem& part) {
  const CallOptions options = of_parts(options_.call);
  METALLIC_TRY(Plan made, make(part, options));
  METALLIC_CHECK(report(made, options));
  return made;
}

Result<Plan> Context::make(const Problem& problem, const CallOptions& options) {
  for (;;) {
    METALLIC_TRY(Choice chosen, choice(problem, options));
    PartsPlanner parts(*this, options);
    auto kernel = chosen.variant->prepare(problem, *chosen.tuning, device_, parts);
    // A variant may find out only now that the system denies what it needs. It rejects all problems from then on.
    if (!kernel && chosen.variant->rejects(problem, *chosen.tuning, device_)) continue;
    if (!kernel) return tl::unexpected(std::move(kernel.error()));
    chosen.unexpected |= parts.unexpected;
    return Plan{problem, chosen, std::move(*kernel), std::move(parts.problems)};
  }
}

void Context::report_refused(const Decision& decision) const {
  for (const Refusal& refused : decision.refused)
    if (const auto level = refused.unexpected ? LogLevel::warning : LogLevel::trace; log_->logs(level))
      log_->log(level, fmt::format("ignored for {}: {}", label(decision.problem), refused.what));
  for (const Decision& part : decision.parts) report_refused(part);
}

Status Context::report(const Plan& plan, const CallOptions& options) const {
  if (!plan.choice.unexpected && !log_->logs(LogLevel::debug)) return {};
  METALLIC_TRY(const Decision decision, explain(plan, options));
  report_refused(decision);
  if (log_->logs(LogLevel::debug)) log_->log(LogLevel::debug, to_string(decision));
  return {};
}

Result<DeviceInfo> find_device(std::string_view id) {
  if (id == "cpu") return cpu::device();
  return cuda::device(id);
}

std::string to_string(const Decision& decision) {
  const Problem& p = decision.problem;
  std::string text = fmt::format("{} {} {} threads={} -> {} [{}: {}]", name(p.op()), label(p), name(p.dtype), p.threads,
                                 to_string(*decision.variant, decision.tuning), name(decision.source), decision.rule);
  if (decision.margin) text += fmt::format(" margin {:.1f} %", *decision.margin * 100);
  // Brief, so that the line is not cut; explain has the rest.
  for (const Decision& part : decision.parts)
    text += fmt::format("; {} {} -> {} [{}]", name(part.problem.op()), label(part.problem), to_string(*part.variant, part.tuning),
                        name(part.source));
  return text;
}

}  // namespace metallic
