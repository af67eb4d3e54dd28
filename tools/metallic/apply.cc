// metallic apply: installs a profile for this device, takes the last install back, or writes thresholds as constants.
#include <fmt/format.h>

#include "tools/metallic/command.h"
#include "tools/metallic/pipeline.h"
#include "tuner/io/threshold_header.h"
#include "base/file.h"

namespace metallic::cli {
namespace {

struct Options {
  std::string file;
  bool dry_run = false;
  bool rollback = false;
  std::string constants;
  bool force = false;
  std::string device = "cpu";
};

Result<Profile> profile_of(const Options& options) {
  METALLIC_TRY(const std::string text, read_file(options.file, Profile::kMostBytes));
  return parse_profile(text, options.file);
}

Result<Exit> write_constants(const Options& options) {
  METALLIC_TRY(const Profile profile, profile_of(options));
  const auto header = constants_header(profile);
  if (!header) return fail(header.error().code, "{}: {}", options.file, header.error().message);
  METALLIC_CHECK(write_file(options.constants, *header));
  fmt::print("wrote {} thresholds to {}\n", profile.thresholds.size(), options.constants);
  return Exit::done;
}

Result<Exit> roll_back(const Options& options) {
  std::string model;
  if (!options.file.empty()) {
    METALLIC_TRY(const Profile profile, profile_of(options));
    model = profile.model;
  }
  METALLIC_TRY(const auto ctx, context("", "", false, options.device));
  METALLIC_TRY(const auto changes, rollback(*ctx, model, options.dry_run));
  fmt::print("{}\n", fmt::join(changes, "\n"));
  return Exit::done;
}

Result<Exit> run(const Options& options) {
  if (options.rollback) return roll_back(options);
  if (options.file.empty()) return fail(Code::invalid_argument, "apply needs a file: a profile.json that analyze or tune wrote");
  if (!options.constants.empty()) return write_constants(options);
  METALLIC_TRY(const auto ctx, context("", "", false, options.device));
  METALLIC_TRY(Profile profile, profile_of(options));
  const auto changes = install(std::move(profile), *ctx, options.force, options.dry_run);
  if (!changes) return fail(changes.error().code, "{}: {}", options.file, changes.error().message);
  fmt::print("{}\n", fmt::join(*changes, "\n"));
  return Exit::done;
}

}  // namespace

void add_apply(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "apply", "install a profile, undo that, or write its thresholds as constants",
      [](CLI::App& command, Options& options) {
        command.add_option("file", options.file, "a profile.json; --rollback needs none")->type_name("FILE");
        auto* dry_run = command.add_flag("--dry-run", options.dry_run, "only print what would change");
        auto* force = command.add_flag("--force", options.force,
                                       "install although unpaired, of an unknown device, or naming what this build lacks");
        auto* rollback = command.add_flag("--rollback", options.rollback,
                                          "go back to the profile that the last one replaced; twice: forth again");
        auto* constants = command
                              .add_option("--defaults", options.constants,
                                          "install nothing: write the thresholds to this C and C++ header, as constants")
                              ->type_name("FILE");
        add_device_option(command, options.device);
        rollback->excludes(force, constants);
        constants->excludes(dry_run, force);
      },
      run);
}

}  // namespace metallic::cli
