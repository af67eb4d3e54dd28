// SPDX-License-Identifier: Apache-2.0
#include "ops/matmul/default_rules.h"

#include <fmt/format.h>

#include <utility>

#include "ops/matmul/shape.h"

namespace metallic::matmul {
namespace {

// Whether rows of the weights lie along K, for each layout: in A if it is not transposed, in B if it is.
struct AlongK {
  bool a, b, packed;
};
AlongK along_k(std::string_view layout) { return {layout[0] == 'n', layout[1] == 't', layout[1] == 'p'}; }

// Collects rules that hold if rows of the weights lie along K, or if they do not.
class Builder {
 public:
  Builder(const RuleKey& key, const DeviceInfo& device) : along_k_(along_k(key.layout)), backend_(device.backend) {}

  void add(std::vector<Range> when, std::string_view what, std::string tuning = "") {
    rules_.push_back({.when = std::move(when), .use = fmt::format("{}_{}", backend_, what), .tuning = std::move(tuning)});
  }
  void add_if_along_k(bool wanted, std::vector<Range> when, std::string_view what) {
    if (along_k_.packed) return;  // no GEMV takes packed weights
    if (along_k_.a == along_k_.b) {
      if (along_k_.a != wanted) return;
    } else {
      const int side = along_k_.a == wanted ? 0 : 1;
      when.push_back({.axis = Axis::side, .low = side, .high = side});
    }
    add(std::move(when), what);
  }
  std::vector<Rule> take() { return std::move(rules_); }

 private:
  AlongK along_k_;
  std::string backend_;
  std::vector<Rule> rules_;
};

// The limits that one key's rules are made of.
struct Values {
  int64_t smalln_max_n, simd_m_min, simd_n_min;
  int64_t across_max_n;  // gemv up to this min(M, N) if rows of weights do not lie along K
  int64_t most_small_n;  // gemv up to this with TMA, or for few rows of weights with long K
};

Values values(const RuleKey& key, const DeviceInfo& device, const Limits& overrides) {
  const auto limit = [&](size_t i) { return value_of(kLimits[i], overrides, device, key.dtype); };
  Values v{.smalln_max_n = limit(0), .simd_m_min = limit(1), .simd_n_min = limit(2), .across_max_n = 16, .most_small_n = 16};
  if (overrides.contains(kLimits[0].variable))
    v.across_max_n = v.most_small_n = v.smalln_max_n;
  else if (device.is_cuda())
    v.across_max_n = key.dtype == DType::f32 ? 4 : 0;
  return v;
}

std::vector<Rule> cpu_rules(const RuleKey& key, const CpuInfo& cpu, const Values& v, Builder rules) {
  const Range small = {.axis = Axis::n, .high = v.smalln_max_n};
  // The guide knows one type. Instructions for bf16 are two to ten times as fast as widening it; dot products want rows of
  // weights along K.
  const bool dots = key.dtype == DType::bf16 && cpu.bf16_dots;
  if (dots) rules.add_if_along_k(true, {small}, "gemv_bf16");
  rules.add({small}, "gemv");
  if (dots && cpu.amx) rules.add({}, "gemm_amx");
  if (dots) rules.add({}, "gemm_bf16");
  rules.add({{.axis = Axis::big, .low = v.simd_m_min}, {.axis = Axis::n, .low = v.simd_n_min}}, "gemm", "pack=1");
  rules.add({}, "gemm", "pack=0");
  rules.add({}, "gemm", "pack=1");  // takes what the unpacked path rejects: operands whose columns are not contiguous
  return rules.take();
}

std::vector<Rule> cuda_rules(const RuleKey& key, const CudaInfo& cuda, const Values& v, Builder rules) {
  const bool tma = cuda.sm_version >= 90 && key.dtype != DType::f32;
  if (tma) rules.add({{.axis = Axis::n, .high = v.most_small_n}}, "gemv_tma");
  // With a short K, a tile of `gemm` has all of it at once; with few rows of weights it has few tiles.
  const Range long_k = {.axis = Axis::k, .low = 64};
  rules.add_if_along_k(true, {{.axis = Axis::n, .high = v.smalln_max_n}, long_k}, "gemv");
  rules.add_if_along_k(
      true, {{.axis = Axis::big, .high = 256}, {.axis = Axis::n, .high = v.most_small_n}, {.axis = Axis::k, .low = 1536}},
      "gemv");
  if (v.across_max_n > 0) rules.add_if_along_k(false, {{.axis = Axis::n, .high = v.across_max_n}, long_k}, "gemv");
  if (tma && cuda.sm_version == 90)
    rules.add({{.axis = Axis::big, .low = 1024}, {.axis = Axis::n, .low = 17}, {.axis = Axis::k, .low = 256}}, "wgmma");
  rules.add({}, "gemm");
  return rules.take();
}

// TMA and wgmma want rows that begin at multiples of 16 bytes.
bool rows_are_aligned(const Problem& problem) {
  return problem.as<MatmulShape>().rows_begin_evenly(static_cast<int64_t>(16 / size_of(problem.dtype)));
}

}  // namespace

// On a GPU, GEMV without TMA reads X again for each few rows of weights, and `gemm` can split K: of 1222 shapes that an H100's
// tune timed in each type, the most columns for which `gemv` wins on average.
const std::array<LimitVariable, 3> kLimits = {
    LimitVariable{"METALLIC_MATMUL_SMALLN_MAX_N", "matmul uses gemv up to this min(M, N)", "smalln_max_n",
                  [](const DeviceInfo& device, DType dtype) -> int64_t {
                    return device.is_cpu() ? 16 : dtype == DType::f32 ? 7 : 5;
                  }},
    LimitVariable{"METALLIC_MATMUL_SIMD_M_MIN", "matmul packs if max(M, N) is at least this", "simd_m_min",
                  [](const DeviceInfo&, DType) -> int64_t { return 64; }},
    LimitVariable{"METALLIC_MATMUL_SIMD_N_MIN", "matmul packs if min(M, N) is at least this", "simd_n_min",
                  [](const DeviceInfo&, DType) -> int64_t { return 16; }}};

std::vector<Rule> default_rules(const RuleKey& key, const DeviceInfo& device, const Limits& overrides) {
  const Values v = values(key, device, overrides);
  Builder rules(key, device);
  return device.is_cpu() ? cpu_rules(key, device.cpu(), v, std::move(rules))
                         : cuda_rules(key, device.cuda(), v, std::move(rules));
}

std::span<const CanonicalOrder> canonical_orders(std::string_view backend) {
  // Hopper's tensor cores, for one row as for thousands, if TMA can serve them; else tiles, whose order is the same for any
  // number of rows.
  static constexpr CanonicalOrder kCuda[] = {{"cuda_wgmma", "columns=64;rows=128;split=1", rows_are_aligned},
                                             {"cuda_gemm", "split=1;tile=64"},
                                             {"cuda_gemm", "split=1;tile=16"}};
  static constexpr CanonicalOrder kCpu[] = {{"cpu_gemm", "pack=1"}};
  return backend == "cuda" ? std::span<const CanonicalOrder>(kCuda) : kCpu;
}

}  // namespace metallic::matmul
