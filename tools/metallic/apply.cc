// SPDX-License-Identifier: Apache-2.0
// metallic apply: installs a profile for this device, rolls it back, or writes its thresholds as constants.
#include <fmt/format.h>

#include "base/file.h"
#include "tools/metallic/command.h"
#include "tools/metallic/inputs.h"
#include "tools/metallic/install.h"
#include "tuner/io/threshold_header.h"

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
  if (options.file.empty()) return fail(Code::invalid_argument, "apply needs a file: a profile.json from tune or analyze");
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
      app, action, "apply", "install a profile, roll it back, or write its thresholds as constants",
      [](const Command& command, Options& options) {
        command.option("file", options.file, "profile.json to install; optional with --rollback").type("FILE");
        const Option dry_run = command.flag("--dry-run", options.dry_run, "print the changes without writing anything");
        const Option force =
            command.flag("--force", options.force,
                         "install even if the machine was busy, the results are unpaired, the device is unknown, "
                         "or this build lacks a variant");
        const Option rollback = command.flag("--rollback", options.rollback,
                                             "restore the previously installed profile; a second rollback undoes the first");
        const Option constants = command
                                     .option("--defaults", options.constants,
                                             "write the thresholds as constants to this C and C++ header instead of installing")
                                     .type("FILE");
        add_device_option(command, options.device);
        rollback.excludes(force).excludes(constants);
        constants.excludes(dry_run).excludes(force);
      },
      run);
}

}  // namespace metallic::cli
