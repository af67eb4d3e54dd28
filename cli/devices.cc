// metallic devices: what this machine has, and which profiles are installed for it.
#include <fmt/format.h>

#include "backends/cpu/libraries.h"
#include "cli/command.h"
#include "cli/inputs.h"
#include "dispatch/profile_store.h"

namespace metallic::cli {
namespace {

struct Options {
  bool json = false;
};

// All that kernels are written for: a missing one has no version.
Json libraries_json(const DeviceFacts& facts) {
  auto libraries = Json::array();
  for (const auto& [name, package] : cpu::known_libraries()) {
    const Library* library = find_library(facts.libraries, name);
    libraries.push_back({{"name", name}, {"version", library ? Json(library->version) : Json(nullptr)}, {"package", package}});
  }
  return libraries;
}

Result<Exit> run(const Options& options) {
  METALLIC_TRY(const auto ctx, context("", "", /*libraries=*/true));
  const DeviceFacts& facts = ctx->facts();
  const auto any = profile_path(facts, "any", ctx->lookup());
  std::error_code ignored;
  const bool installed = any && std::filesystem::exists(*any, ignored);
  // Of several of the family the one with the nearest number of threads counts, operation by operation.
  std::vector<std::string> built_in;
  for (const ProfileLevel& level : ctx->profiles())
    if (level.source == Source::device || level.source == Source::family) built_in.push_back(level.path);
  if (options.json) {
    auto device = facts_json(facts);
    device["fingerprint"] = fingerprint(facts);
    device["family"] = family(facts);
    device["libraries"] = libraries_json(facts);
    device["threads"] = ctx->threads();
    device["profile"] = installed ? Json(any->native()) : Json(nullptr);
    device["built_in_profiles"] = built_in;
    fmt::print("{}\n", Json::array({device}).dump(2, ' ', false, Json::error_handler_t::replace));
    return Exit::done;
  }
  fmt::print("{}  {}, {} cores, {}, L1d {} KiB, L2 {} KiB, last level {} KiB, memory {:.1f} GiB\n", facts.id, facts.model,
             facts.cores, facts.isa, facts.l1d_bytes >> 10, facts.l2_bytes >> 10, facts.llc_bytes >> 10,
             static_cast<double>(facts.memory_bytes) / (1 << 30));
  fmt::print("     fingerprint {}\n     family {}\n     threads {}\n     profile {}\n", fingerprint(facts), family(facts),
             ctx->threads(), installed ? any->native() : "none: run metallic tune");
  for (const std::string& profile : built_in) fmt::print("     {}\n", profile);
  for (const auto& [name, package] : cpu::known_libraries()) {
    const Library* library = find_library(facts.libraries, name);
    fmt::print("     library {} {}\n", name,
               library ? library->version : fmt::format("is missing: install Debian's {} to compare with it", package));
  }
  return Exit::done;
}

}  // namespace

void add_devices(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "devices", "the devices of this machine and their profiles",
      [](CLI::App& command, Options& options) { command.add_flag("--json", options.json, "print JSON"); }, run);
}

}  // namespace metallic::cli
