// SPDX-License-Identifier: Apache-2.0
// Device info: what variants may reject a device for, and what a profile is valid for.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace metallic {

/// A library that is not linked but found at run time; its kernels are candidates like our own.
struct Library {
  std::string name;     ///< "openblas", "blis", "onednn"
  std::string version;  ///< as the library itself says
  bool operator==(const Library&) const = default;
};

struct CpuInfo {
  std::string isa;         ///< widest SIMD target that kernels may use, e.g. "AVX3"
  int64_t hwy_target = 0;  ///< the same as Highway's target bit; a value rather than a global, so that tests can choose it
  bool amx = false;        ///< AMX tiles of bf16, if the operating system lets programs use them; no Highway target says so
  bool bf16_dots = false;  ///< AVX-512 BF16: dot products of pairs of bf16; Highway 1.0.3 has no target for it
  int cores = 1;
  int64_t l1d_bytes = 32 << 10;
  int64_t l2_bytes = 1 << 20;
  int64_t llc_bytes = 32 << 20;  ///< the last cache level before memory, shared by all cores
  /// Time to start a task on each of join_threads threads and wait for all of them. A tune measures it and the profile keeps it;
  /// measured by each process it would change from one to the next, and kernels with it. The default is a high guess for two
  /// threads. Not part of the fingerprint.
  double join_ns = 2500;
  int join_threads = 0;  ///< 0: not measured

  bool operator==(const CpuInfo&) const = default;
};

struct CudaInfo {
  int sm_version = 0;          ///< compute capability times ten: 90 is Hopper
  int num_sms = 1;             ///< streaming multiprocessors
  int64_t smem_per_block = 0;  ///< shared memory that a block may opt in to, bytes
  int64_t l2_bytes = 0;
  int64_t clock_mhz = 0;         ///< the highest; 0: unknown
  int64_t memory_clock_mhz = 0;  ///< 0: unknown
  std::string driver;            ///< its version; empty: unknown

  bool operator==(const CudaInfo&) const = default;
};

struct DeviceInfo {
  std::string id;       ///< its name on the command line: "cpu", "cuda:0"
  std::string backend;  ///< the prefix of its variants' names: "cpu", "cuda"
  std::string model;    ///< marketing name, e.g. "AMD EPYC"
  int64_t memory_bytes = 0;
  std::vector<Library> libraries;  ///< that were asked for and found; not part of the fingerprint
  std::variant<CpuInfo, CudaInfo> kind;

  /// The info of the backend's kind; throws std::bad_variant_access on a device of another kind.
  const CpuInfo& cpu() const { return std::get<CpuInfo>(kind); }
  CpuInfo& cpu() { return std::get<CpuInfo>(kind); }
  const CudaInfo& cuda() const { return std::get<CudaInfo>(kind); }
  CudaInfo& cuda() { return std::get<CudaInfo>(kind); }

  bool is_cpu() const { return std::holds_alternative<CpuInfo>(kind); }
  bool is_cuda() const { return std::holds_alternative<CudaInfo>(kind); }

  /// The instruction set as text: "AVX3", "sm_90".
  std::string isa() const;

  /// Bytes of the last cache level before memory.
  int64_t last_cache_bytes() const { return is_cpu() ? cpu().llc_bytes : cuda().l2_bytes; }

  bool operator==(const DeviceInfo&) const = default;
};

/// The library of that name among those that were found, or null.
const Library* find_library(std::span<const Library> libraries, std::string_view name);

/// The name under which profiles of equal devices are kept: model, ISA, cores and caches in letters, digits, '-' and '_'.
std::string fingerprint(const DeviceInfo& device);

/// The families that a device belongs to by its instruction set: its own first, then those that it contains.
/// x86_amx ⊃ x86_avx512 ⊃ x86_avx2 ⊃ x86_sse; arm64_sve ⊃ arm64_neon; any other ISA is a family of its own.
std::vector<std::string> families(const DeviceInfo& device);

/// The device's own family.
std::string family(const DeviceInfo& device);

}  // namespace metallic
