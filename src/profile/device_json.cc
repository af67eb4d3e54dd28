#include "profile/device_json.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace metallic {

namespace {

constexpr size_t kMostLibraries = 16;

}  // namespace

Json facts_json(const DeviceFacts& facts) {
  auto libraries = Json::array();
  for (const Library& library : facts.libraries) libraries.push_back({{"name", library.name}, {"version", library.version}});
  return {{"id", facts.id},
          {"backend", facts.backend},
          {"model", facts.model},
          {"isa", facts.isa},
          {"amx", facts.amx},
          {"bf16_dots", facts.bf16_dots},
          {"cores", facts.cores},
          {"l1d_bytes", facts.l1d_bytes},
          {"l2_bytes", facts.l2_bytes},
          {"llc_bytes", facts.llc_bytes},
          {"memory_bytes", facts.memory_bytes},
          {"clock_mhz", facts.clock_mhz},
          {"memory_clock_mhz", facts.memory_clock_mhz},
          {"driver", facts.driver},
          {"join_ns", facts.join_ns},
          {"join_threads", facts.join_threads},
          {"libraries", libraries}};
}

Result<DeviceFacts> parse_facts(const JsonObject& object) {
  constexpr int64_t kMostBytes = int64_t{1} << 50;
  DeviceFacts facts;
  METALLIC_TRY(facts.id, object.text("id"));
  METALLIC_TRY(facts.backend, object.text("backend"));
  METALLIC_TRY(facts.model, object.text("model"));
  METALLIC_TRY(facts.isa, object.text("isa"));
  // A GPU's number is in its name; a CPU's is Highway's, which other versions number differently.
  if (facts.isa.starts_with("sm_")) std::from_chars(facts.isa.data() + 3, facts.isa.data() + facts.isa.size(), facts.isa_bit);
  if (object.has("amx")) {
    METALLIC_TRY(facts.amx, object.boolean("amx"));
  }
  if (object.has("join_ns")) {
    METALLIC_TRY(facts.join_ns, object.number("join_ns", 0, 1e9));
  }
  if (object.has("join_threads")) {
    METALLIC_TRY(const int64_t threads, object.integer("join_threads", 0, 1024));
    facts.join_threads = static_cast<int>(threads);
  }
  if (object.has("bf16_dots")) {
    METALLIC_TRY(facts.bf16_dots, object.boolean("bf16_dots"));
  }
  METALLIC_TRY(const int64_t cores, object.integer("cores", 1, 1 << 20));
  facts.cores = static_cast<int>(cores);
  METALLIC_TRY(facts.l1d_bytes, object.integer("l1d_bytes", 0, kMostBytes));
  METALLIC_TRY(facts.l2_bytes, object.integer("l2_bytes", 0, kMostBytes));
  METALLIC_TRY(facts.llc_bytes, object.integer("llc_bytes", 0, kMostBytes));
  METALLIC_TRY(facts.memory_bytes, object.integer("memory_bytes", 0, kMostBytes));
  // A GPU has these; files of CPUs may lack them.
  if (object.has("clock_mhz")) {
    METALLIC_TRY(facts.clock_mhz, object.integer("clock_mhz", 0, 1 << 20));
  }
  if (object.has("memory_clock_mhz")) {
    METALLIC_TRY(facts.memory_clock_mhz, object.integer("memory_clock_mhz", 0, 1 << 20));
  }
  if (object.has("driver")) {
    METALLIC_TRY(facts.driver, object.text("driver"));
  }
  if (!object.has("libraries")) return facts;
  METALLIC_TRY(const Json* libraries, object.array("libraries", kMostLibraries));
  for (size_t i = 0; i < libraries->size(); ++i) {
    const JsonObject library((*libraries)[i], fmt::format("{}.libraries[{}]", object.path(), i));
    METALLIC_TRY(std::string name, library.text("name"));
    METALLIC_TRY(std::string version, library.text("version"));
    facts.libraries.push_back({std::move(name), std::move(version)});
  }
  return facts;
}

std::optional<double> roofline_ns(const Problem& problem, const DeviceRecord& device) {
  const Roofline& ceilings = device.roofline;
  const double bandwidth = problem.op() == Op::softmax ? ceilings.copy_bytes_per_s : ceilings.read_bytes_per_s;
  if (bandwidth <= 0 || ceilings.flops_per_s <= 0 || problem.threads != device.threads) return std::nullopt;
  const Work needed = work(problem);
  return 1e9 * std::max(needed.bytes / bandwidth, needed.flops / ceilings.flops_per_s);
}

std::string to_json(const DeviceRecord& record) {
  Json json = {{"schema", 1},
               {"fingerprint", fingerprint(record.facts)},
               {"facts", facts_json(record.facts)},
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
  METALLIC_TRY(const JsonObject facts, root.object("facts"));
  METALLIC_TRY(record.facts, parse_facts(facts));
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
