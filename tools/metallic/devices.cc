// SPDX-License-Identifier: Apache-2.0
// metallic devices: the devices of this machine, its libraries, and the profiles for them.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "device/cpu/cpu_info.h"
#include "device/cuda/cuda_devices.h"
#include "device/peers/cpu_libraries.h"
#include "dispatch/profile_store.h"
#include "tools/metallic/command.h"
#include "tools/metallic/inputs.h"

namespace metallic::cli {
namespace {

struct Options {
  bool json = false;
};

// All libraries that kernels can call; a missing one has no version.
Json libraries_json(const DeviceInfo& device) {
  auto libraries = Json::array();
  for (const auto& [name, package] : cpu::known_libraries()) {
    const Library* library = find_library(device.libraries, name);
    libraries.push_back({{"name", name}, {"version", library ? Json(library->version) : Json(nullptr)}, {"package", package}});
  }
  return libraries;
}

// Why a context has fewer threads than the device has cores; empty if it has as many.
std::string fewer_threads(const Context& ctx) {
  if (!ctx.device().is_cpu()) return {};
  if (ctx.environment().threads) return "METALLIC_NUM_THREADS";
  const auto chosen = cpu::default_threads(ctx.device().cpu().cores);
  return ctx.threads() < chosen.threads ? "the system refuses to start more" : chosen.why;
}

Json json(const Context& ctx, const std::string& profile, const std::vector<std::string>& built_in) {
  const DeviceInfo& device = ctx.device();
  Json json = device_info_json(device);
  json["fingerprint"] = fingerprint(device);
  json["family"] = family(device);
  if (device.is_cpu()) json["libraries"] = libraries_json(device);
  json["threads"] = ctx.threads();
  const std::string fewer = fewer_threads(ctx);
  json["threads_because"] = fewer.empty() ? Json(nullptr) : Json(fewer);
  json["profile"] = profile.empty() ? Json(nullptr) : Json(profile);
  json["built_in_profiles"] = built_in;
  return json;
}

void print(const Context& ctx, const std::string& profile, const std::vector<std::string>& built_in) {
  const DeviceInfo& device = ctx.device();
  const double memory = static_cast<double>(device.memory_bytes) / (1 << 30);
  const bool cpu = device.is_cpu();
  if (cpu)
    fmt::print("{}  {}, {} cores, {}, L1d {} KiB, L2 {} KiB, last level {} KiB, memory {:.1f} GiB\n", device.id, device.model,
               device.cpu().cores, device.isa(), device.cpu().l1d_bytes >> 10, device.cpu().l2_bytes >> 10,
               device.cpu().llc_bytes >> 10, memory);
  else
    fmt::print("{}  {}, {} multiprocessors, {}, shared memory {} KiB, L2 {} KiB, memory {:.1f} GiB, up to {} MHz, {}\n",
               device.id, device.model, device.cuda().num_sms, device.isa(), device.cuda().smem_per_block >> 10,
               device.cuda().l2_bytes >> 10, memory, device.cuda().clock_mhz, device.cuda().driver);
  const std::string fewer = fewer_threads(ctx);
  fmt::print("     fingerprint {}\n     family {}\n     threads {}{}{}\n     profile {}\n", fingerprint(device), family(device),
             ctx.threads(), fewer.empty() ? "" : ": ", fewer,
             !profile.empty()            ? profile
             : ctx.environment().profile ? "none: METALLIC_PROFILE is " + in_quotes(*ctx.environment().profile)
             : cpu                       ? "none: run metallic tune"
                                         : "none: run metallic tune --device " + device.id);
  for (const std::string& one : built_in) fmt::print("     {}\n", one);
  if (!cpu)
    for (const Library& library : device.libraries) fmt::print("     library {} {}\n", library.name, library.version);
  if (!cpu) return;
  for (const auto& [name, package] : cpu::known_libraries()) {
    const Library* library = find_library(device.libraries, name);
    fmt::print("     library {} {}\n", name,
               library ? library->version : fmt::format("is missing: install the Debian package {} to compare with it", package));
  }
}

Result<Exit> run(const Options& options) {
  std::vector<std::string> ids = {"cpu"};
  for (const DeviceInfo& gpu : cuda::devices()) ids.push_back(gpu.id);
  auto all = Json::array();
  for (const std::string& id : ids) {
    METALLIC_TRY(const auto ctx, context("", "", /*libraries=*/true, id));
    // METALLIC_PROFILE replaces the installed profile.
    const auto named = ctx->environment().profile;
    const auto path = named ? std::filesystem::path(*named) : profile_path(ctx->device(), "any", ctx->lookup()).value_or("");
    std::error_code ignored;
    const std::string profile = std::filesystem::exists(path, ignored) ? path.native() : "";
    // Of several profiles of the family, the one with the nearest number of threads applies, for each operation.
    std::vector<std::string> built_in;
    for (const ProfileLevel& level : ctx->profiles())
      if (level.source == Source::device || level.source == Source::family) built_in.push_back(level.path);
    if (options.json)
      all.push_back(json(*ctx, profile, built_in));
    else
      print(*ctx, profile, built_in);
  }
  if (options.json) fmt::print("{}\n", all.dump(2, ' ', false, Json::error_handler_t::replace));
  return Exit::done;
}

}  // namespace

void add_devices(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "devices", "list the devices of this machine and their profiles",
      [](const Command& command, Options& options) { command.flag("--json", options.json, "print JSON"); }, run);
}

}  // namespace metallic::cli
