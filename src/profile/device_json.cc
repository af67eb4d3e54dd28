// SPDX-License-Identifier: Apache-2.0
#include "profile/device_json.h"
#include "ops/operation.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace metallic {

namespace {

constexpr size_t kMostLibraries = 16;

}  // namespace

// The file has one set of keys for all devices. For a GPU, its multiprocessors are the cores, their shared memory is L1d, and the
// L2 cache is the last level too.
Json device_info_json(const DeviceInfo& device) {
  auto libraries = Json::array();
  for (const Library& library : device.libraries) libraries.push_back({{"name", library.name}, {"version", library.version}});
  const CpuInfo cpu = device.is_cpu() ? device.cpu() : CpuInfo();
  const CudaInfo cuda = device.is_cuda() ? device.cuda() : CudaInfo();
  return {{"id", device.id},
          {"backend", device.backend},
          {"model", device.model},
          {"isa", device.isa()},
          {"amx", cpu.amx},
          {"bf16_dots", cpu.bf16_dots},
          {"cores", device.is_cpu() ? cpu.cores : cuda.num_sms},
          {"l1d_bytes", device.is_cpu() ? cpu.l1d_bytes : cuda.smem_per_block},
          {"l2_bytes", device.is_cpu() ? cpu.l2_bytes : cuda.l2_bytes},
          {"llc_bytes", device.last_cache_bytes()},
          {"memory_bytes", device.memory_bytes},
          {"clock_mhz", cuda.clock_mhz},
          {"memory_clock_mhz", cuda.memory_clock_mhz},
          {"driver", cuda.driver},
          {"join_ns", cpu.join_ns},
          {"join_threads", cpu.join_threads},
          {"libraries", libraries}};
}

namespace {

constexpr int64_t kMostBytes = int64_t{1} << 50;

Result<CpuInfo> parse_cpu(const JsonObject& object) {
  CpuInfo cpu;
  METALLIC_TRY(cpu.isa, object.text("isa"));
  METALLIC_CHECK(object.read_optional("amx", cpu.amx));
  METALLIC_CHECK(object.read_optional("bf16_dots", cpu.bf16_dots));
  METALLIC_TRY(const int64_t cores, object.integer("cores", 1, 1 << 20));
  cpu.cores = static_cast<int>(cores);
  METALLIC_TRY(cpu.l1d_bytes, object.integer("l1d_bytes", 0, kMostBytes));
  METALLIC_TRY(cpu.l2_bytes, object.integer("l2_bytes", 0, kMostBytes));
  METALLIC_TRY(cpu.llc_bytes, object.integer("llc_bytes", 0, kMostBytes));
  METALLIC_CHECK(object.read_optional("join_ns", cpu.join_ns, 0, 1e9));
  METALLIC_CHECK(object.read_optional("join_threads", cpu.join_threads, 0, 1024));
  return cpu;
}

Result<CudaInfo> parse_cuda(const JsonObject& object) {
  CudaInfo cuda;
  METALLIC_TRY(const std::string isa, object.text("isa"));
  if (isa.starts_with("sm_")) std::from_chars(isa.data() + 3, isa.data() + isa.size(), cuda.sm_version);
  METALLIC_TRY(const int64_t num_sms, object.integer("cores", 1, 1 << 20));
  cuda.num_sms = static_cast<int>(num_sms);
  METALLIC_TRY(cuda.smem_per_block, object.integer("l1d_bytes", 0, kMostBytes));
  METALLIC_TRY(cuda.l2_bytes, object.integer("l2_bytes", 0, kMostBytes));
  METALLIC_CHECK(object.read_optional("clock_mhz", cuda.clock_mhz, 0, 1 << 20));
  METALLIC_CHECK(object.read_optional("memory_clock_mhz", cuda.memory_clock_mhz, 0, 1 << 20));
  METALLIC_CHECK(object.read_optional("driver", cuda.driver));
  return cuda;
}

}  // namespace

Result<DeviceInfo> parse_device_info(const JsonObject& object) {
  DeviceInfo device;
  METALLIC_TRY(device.id, object.text("id"));
  METALLIC_TRY(device.backend, object.text("backend"));
  METALLIC_TRY(device.model, object.text("model"));
  METALLIC_TRY(device.memory_bytes, object.integer("memory_bytes", 0, kMostBytes));
  if (device.backend == "cuda") {
    METALLIC_TRY(device.kind, parse_cuda(object));
  } else {
    METALLIC_TRY(device.kind, parse_cpu(object));
  }
  if (!object.has("libraries")) return device;
  METALLIC_TRY(const Json* libraries, object.array("libraries", kMostLibraries));
  for (size_t i = 0; i < libraries->size(); ++i) {
    const JsonObject library((*libraries)[i], fmt::format("{}.libraries[{}]", object.path(), i));
    METALLIC_TRY(std::string name, library.text("name"));
    METALLIC_TRY(std::string version, library.text("version"));
    device.libraries.push_back({std::move(name), std::move(version)});
  }
  return device;
}

std::optional<double> roofline_ns(const Problem& problem, const DeviceRecord& device) {
  const Roofline& roofline = device.roofline;
  const double bandwidth = problem.op()->writes_as_much_as_it_reads ? roofline.copy_bytes_per_s : roofline.read_bytes_per_s;
  if (bandwidth <= 0 || roofline.flops_per_s <= 0 || problem.threads != device.threads) return std::nullopt;
  const Work needed = work(problem);
  return 1e9 * std::max(needed.bytes / bandwidth, needed.flops / roofline.flops_per_s);
}

std::string to_json(const DeviceRecord& record) {
  Json json = {{"schema", 1},
               {"fingerprint", fingerprint(record.device)},
               {"facts", device_info_json(record.device)},
               {"ceilings",
                {{"read_bytes_per_s", record.roofline.read_bytes_per_s},
                 {"copy_bytes_per_s", record.roofline.copy_bytes_per_s},
                 {"flops_per_s", record.roofline.flops_per_s}}},
               {"threads", record.threads},
               {"model", record.model},
               {"build", record.build},
               {"date", record.date},
               {"seed", record.seed}};
  if (record.noise) json["noise"] = noise_json(*record.noise);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<DeviceRecord> parse_device_record(std::string_view text, std::string_view where) {
  METALLIC_TRY(const Json json, parse_json(text, where, 1 << 16));
  const JsonObject root(json, fmt::format("{}:", where));
  METALLIC_CHECK(root.integer("schema", 1, 1));
  DeviceRecord record;
  METALLIC_TRY(const JsonObject device, root.object("facts"));
  METALLIC_TRY(record.device, parse_device_info(device));
  METALLIC_TRY(const JsonObject ceilings, root.object("ceilings"));
  METALLIC_TRY(record.roofline.read_bytes_per_s, ceilings.number("read_bytes_per_s"));
  METALLIC_TRY(record.roofline.copy_bytes_per_s, ceilings.number("copy_bytes_per_s"));
  METALLIC_TRY(record.roofline.flops_per_s, ceilings.number("flops_per_s"));
  METALLIC_TRY(const int64_t threads, root.integer("threads", 1, 1024));
  record.threads = static_cast<int>(threads);
  METALLIC_TRY(record.model, root.text("model"));
  METALLIC_TRY(record.build, root.text("build"));
  METALLIC_TRY(record.date, root.text("date"));
  METALLIC_TRY(const int64_t seed, root.integer("seed", 0, INT64_MAX));
  record.seed = static_cast<uint64_t>(seed);
  if (root.has("noise")) {
    METALLIC_TRY(const JsonObject noise, root.object("noise"));
    METALLIC_TRY(record.noise, parse_noise(noise));
  }
  return record;
}

}  // namespace metallic
