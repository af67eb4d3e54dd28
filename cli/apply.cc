// metallic apply: installs a profile for this device and prints what changes.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/pipeline.h"
#include "formats/file.h"

namespace metallic::cli {
namespace {

struct Options {
  std::string file;
  bool dry_run = false;
  bool force = false;
};

Result<Exit> run(const Options& options) {
  METALLIC_TRY(const auto ctx, context(""));
  METALLIC_TRY(const std::string text, read_file(options.file, Profile::kMostBytes));
  METALLIC_TRY(Profile profile, parse_profile(text, options.file));
  const auto changes = install(std::move(profile), *ctx, options.force, options.dry_run);
  if (!changes) return fail(changes.error().code, "{}: {}", options.file, changes.error().message);
  fmt::print("{}\n", fmt::join(*changes, "\n"));
  return Exit::done;
}

}  // namespace

void add_apply(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "apply", "install a profile for this device",
      [](CLI::App& command, Options& options) {
        command.add_option("file", options.file, "a profile.json")->required()->type_name("FILE");
        command.add_flag("--dry-run", options.dry_run, "only print what would change");
        command.add_flag("--force", options.force, "install an unpaired profile, or one that does not say where it was measured");
      },
      run);
}

}  // namespace metallic::cli
