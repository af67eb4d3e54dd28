// Facts about a device: what variants may be rejected by, and what a profile belongs to.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace metallic {

/// A library that is not linked but found at run time; its kernels are candidates like our own.
struct Library {
  std::string name;     ///< "openblas", "blis", "onednn"
  std::string version;  ///< as the library itself says
  bool operator==(const Library&) const = default;
};

struct DeviceFacts {
  std::string id;          ///< what the command line calls it: "cpu", "cuda:0"
  std::string backend;     ///< the prefix of its variants' names: "cpu", "cuda"
  std::string model;       ///< marketing name, e.g. "AMD EPYC"
  std::string isa;         ///< widest SIMD target that kernels may use, e.g. "AVX3"
  int64_t isa_bit = 0;     ///< the same as Highway's target bit; a fact rather than a global, so that tests can choose it
  bool amx = false;        ///< AMX tiles of bf16, which the kernel lets programs use; Highway has no target for them
  bool bf16_dots = false;  ///< AVX-512 BF16: dot products of pairs of bf16; Highway 1.0.3 has no target for them either
  int cores = 1;
  int64_t l1d_bytes = 32 << 10;
  int64_t l2_bytes = 1 << 20;
  int64_t llc_bytes = 32 << 20;  ///< the last cache level in front of memory, shared by all cores
  int64_t memory_bytes = 0;
  int64_t clock_mhz = 0;         ///< of a GPU, at most; 0: not known
  int64_t memory_clock_mhz = 0;  ///< of a GPU
  std::string driver;            ///< of a GPU, with its version; empty: none
  /// What it takes to start a task on each of join_threads threads and to wait for all of them, as a tune measured it and its
  /// profile says; else a guess that is long for two. How much work is worth a thread follows from it: measured anew by each
  /// process, that would change from one to the next. No part of the fingerprint.
  double join_ns = 2500;
  int join_threads = 0;            ///< 0: not measured
  std::vector<Library> libraries;  ///< that were asked for and found; no part of the fingerprint

  bool operator==(const DeviceFacts&) const = default;
};

/// The library of that name among those that were found, or null.
const Library* find_library(std::span<const Library> libraries, std::string_view name);

/// The name under which profiles of equal devices are kept: model, ISA, cores and caches in letters, digits, '-' and '_'.
std::string fingerprint(const DeviceFacts& facts);

/// The families that a device belongs to by what its SIMD unit can do, the closest first: its own, then those it contains.
/// x86_amx ⊃ x86_avx512 ⊃ x86_avx2 ⊃ x86_sse; arm64_sve ⊃ arm64_neon; any other ISA is a family of its own.
std::vector<std::string> families(const DeviceFacts& facts);

/// The device's own family.
std::string family(const DeviceFacts& facts);

}  // namespace metallic
