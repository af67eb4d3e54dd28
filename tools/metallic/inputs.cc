// SPDX-License-Identifier: Apache-2.0
// Reads the inputs of subcommands and reports what is wrong with them.
#include "tools/metallic/inputs.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/build.h"
#include "base/file.h"
#include "dispatch/profile_store.h"
#include "ops/label.h"
#include "ops/operation.h"
#include "ops/registry.h"

namespace metallic::cli {
namespace {

constexpr size_t kMostSampleBytes = size_t{1} << 30;

Result<DType> to_dtype(const std::string& text) {
  if (const auto dtype = parse_dtype(text)) return *dtype;
  return fail(Code::invalid_argument, "--dtype {}: use {}", in_quotes(text), kDTypeNames);
}

}  // namespace

// Each problem in each given type; problems whose list names their type keep it.
Result<std::vector<WeightedProblem>> with_dtypes(std::vector<WeightedProblem> problems, const std::vector<std::string>& wanted) {
  std::vector<DType> dtypes;
  for (const std::string& text : wanted) {
    METALLIC_TRY(const DType dtype, to_dtype(text));
    if (std::ranges::find(dtypes, dtype) == dtypes.end()) dtypes.push_back(dtype);
  }
  if (dtypes.empty()) dtypes = {DType::f32};
  std::vector<WeightedProblem> typed;
  for (const DType dtype : dtypes)
    for (const WeightedProblem& weighted : problems) {
      if (weighted.typed && dtype != dtypes.front()) continue;
      typed.push_back(weighted);
      if (!weighted.typed) typed.back().problem = with_dtype(weighted.problem, dtype);
    }
  return typed;
}

Result<std::vector<WeightedProblem>> problems(const ProblemOptions& options) {
  std::vector<WeightedProblem> found;
  if (options.shapes.empty()) {
    METALLIC_TRY(const ModelConfig model, find_model(options.model.empty() ? kDefaultModel : options.model));
    print_left_out(model);
    found = model_problems(model);
  }
  for (const std::string& shape : options.shapes) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(shape, ignored)) {
      METALLIC_TRY(const std::string text, read_file(shape, 1 << 20));
      METALLIC_TRY(const auto list, parse_problem_list(text, shape));
      found.insert(found.end(), list.begin(), list.end());
    } else {
      const auto list = parse_labels(shape);
      if (!list && (shape.find('/') != std::string::npos || std::filesystem::exists(shape, ignored)))
        return fail(Code::not_found, "--shapes {}: neither a file of labels nor a label", shape);
      METALLIC_CHECK(list);
      for (const Problem& problem : *list) found.push_back({.problem = problem});
    }
  }
  METALLIC_TRY(found, with_dtypes(std::move(found), options.dtypes));
  if (!options.ops.empty()) {
    std::set<Op> wanted;
    for (const std::string& text : options.ops) {
      METALLIC_TRY(const Op op, parse_op(text));
      wanted.insert(op);
    }
    std::erase_if(found, [&](const WeightedProblem& weighted) { return !wanted.contains(weighted.problem.op()); });
    if (found.empty())
      return fail(Code::invalid_argument, "--op {}: none of the shapes is of these operations", fmt::join(options.ops, ","));
  }
  return found;
}

std::vector<std::string> types_to_tune(const ModelConfig& model, double budget_s) {
  constexpr double kEnoughForTwo = 20;  // below, the blocks that each problem needs at least exceed the budget
  const DType own = model.dtype.value_or(DType::f32);
  std::vector<std::string> types = {std::string(name(own))};
  if (own != DType::f32 && budget_s >= kEnoughForTwo) types.emplace_back(name(DType::f32));
  return types;
}

void print_left_out(const ModelConfig& model) {
  for (const std::string& part : model.left_out) fmt::print(stderr, "{}: {}\n", model.name, part);
}

Result<Problem> one_problem(const std::vector<std::string>& words, const std::string& dtype) {
  METALLIC_TRY(Problem problem, parse_label(words.back()));
  METALLIC_TRY(const DType type, to_dtype(dtype));
  problem = with_dtype(problem, type);
  if (words.size() == 2) {
    METALLIC_TRY(const Op op, parse_op(words.front()));
    if (op != problem.op())
      return fail(Code::invalid_argument, "label {} is of {}, not of {}", in_quotes(words.back()), name(problem.op()), name(op));
  }
  return problem;
}

Result<std::unique_ptr<Context>> context(const std::string& model, const std::string& profile, bool libraries,
                                         const std::string& device) {
  ContextOptions options;
  options.device = device;
  options.model = model_name(model);
  options.profile = profile;
  options.libraries = libraries;
  options.patient = true;
  // The user named this profile, so a fault is an error, not a warning.
  if (!profile.empty()) {
    METALLIC_TRY(const DeviceInfo info, find_device(device));
    METALLIC_CHECK(load_profile(profile, info));
  }
  METALLIC_TRY(auto made, Context::create(std::move(options)));
  // A model that was never tuned uses the rules of any model; an unknown name is misspelt.
  std::error_code ignored;
  if (const auto own = profile_path(made->device(), model_name(model), made->lookup());
      !model.empty() && !(own && std::filesystem::exists(*own, ignored)))
    METALLIC_CHECK(find_model(model));
  if (!profile.empty() && made->environment().profile == "none")
    return fail(Code::invalid_argument, "METALLIC_PROFILE=none disables profiles, --profile {} too: unset it",
                in_quotes(profile));
  return made;
}

Result<LoadedMeasurements> load_measurements(const std::filesystem::path& path, const DeviceInfo& here, int threads) {
  METALLIC_TRY(const std::string text, read_file(path, kMostSampleBytes));
  LoadedMeasurements loaded;
  if (looks_like_samples(text)) {
    METALLIC_TRY(const auto rows, parse_samples(text, path.native()));
    METALLIC_TRY(loaded.measurements, tune::from_samples(rows, path.native(), threads));
  } else {
    METALLIC_TRY(const auto rows, parse_results(text, path.native()));
    METALLIC_TRY(loaded.measurements, tune::from_results(rows, path.native(), threads));
  }
  if (loaded.measurements.series.empty()) return fail(Code::invalid_argument, "{}: it has no timed variant", path.native());
  const std::filesystem::path beside = path.parent_path() / kDevice;
  std::error_code ignored;
  if (std::filesystem::exists(beside, ignored)) {
    METALLIC_TRY(const std::string device, read_file(beside, 1 << 16));
    METALLIC_TRY(loaded.device, parse_device_record(device, beside.native()));
    loaded.device_known = true;
  } else {
    loaded.device = {.device = here, .threads = threads, .build = loaded.measurements.build, .date = now()};
    loaded.device_known = loaded.measurements.device == fingerprint(here);
  }
  return loaded;
}

tune::AnalysisOptions analysis_options(const DeviceInfo& device) {
  tune::AnalysisOptions options;
  options.default_choice = [device](const Problem& problem) -> tune::KernelConfig {
    const auto decision = select(problem, {device, Environment{}, CallOptions{}, {}});
    if (!decision) return {};
    return {std::string(decision->variant->name), to_string(decision->tuning)};
  };
  options.preference = [device](const Problem& problem, std::string_view variant) -> std::string {
    const Variant* found = find_variant(problem.op(), variant);
    // Samples may come from another device than the one they are analysed for.
    return found && found->backend() == device.backend ? to_string(found->prefer(problem, device)) : "";
  };
  options.default_rules = [device](const RuleKey& key) { return key.op->default_rules(key, device, {}); };
  options.default_threshold = [device](Op op, std::string_view threshold, DType dtype) {
    return default_limit(op, threshold, device, dtype);
  };
  return options;
}

std::string now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

}  // namespace metallic::cli
