// Tensor maps: how the copy engine (TMA) of Hopper and later sees a tensor, of which one instruction copies a box.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>

namespace metallic::cuda {

/// Matrices of 16-bit elements whose rows are contiguous; strides in elements.
struct RowsInMemory {
  int64_t rows, columns, stride;
  int64_t matrices, apart;
};

/// Whether a tensor map takes them, as far as strides tell: all rows of all matrices begin at multiples of 16 bytes.
inline bool takes_tensor_map(const RowsInMemory& r) {
  constexpr int64_t kMost = int64_t{1} << 30;
  return (r.rows <= 1 || r.stride % 8 == 0) && (r.matrices <= 1 || (r.apart % 8 == 0 && r.apart > 0)) && r.rows <= kMost &&
         r.columns <= kMost;
}

/// Makes a map of them for boxes of 64 columns × `box_rows`. What of a box lies beyond the tensor is zero. In shared memory its
/// rows of 128 bytes begin at a multiple of 1024 bytes, with chunk c of row r at place c ^ r % 8. Takes 0.1 µs and calls nothing
/// of the device's. False where the address is no multiple of 16, strides do not fit, or the driver has no such
/// maps.
inline bool make_tensor_map(CUtensorMap& map, const void* at, const RowsInMemory& r, uint32_t box_rows) {
  if (reinterpret_cast<uintptr_t>(at) % 16 != 0 || !takes_tensor_map(r)) return false;
  using Encode =
      CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*, const cuuint32_t*,
                   const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  // Of the driver, which this program is not linked with.
  static const Encode encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
#if CUDART_VERSION >= 12050
    cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
#else
    cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result);
#endif
    return result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(found) : nullptr;
  }();
  if (!encode) return false;
  // Strides of one row or one matrix say nothing: any that a map takes.
  const int64_t stride = r.rows > 1 ? r.stride : (r.columns + 7) / 8 * 8, apart = r.matrices > 1 ? r.apart : stride * r.rows;
  const auto bytes = [](int64_t elements) { return static_cast<cuuint64_t>(2 * elements); };
  const std::array<cuuint64_t, 3> sizes = {static_cast<cuuint64_t>(r.columns), static_cast<cuuint64_t>(r.rows),
                                           static_cast<cuuint64_t>(r.matrices)};
  const std::array<cuuint64_t, 2> strides = {bytes(stride), bytes(apart)};
  const std::array<cuuint32_t, 3> box = {64, box_rows, 1}, steps = {1, 1, 1};
  return encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 3, const_cast<void*>(at), sizes.data(), strides.data(), box.data(),
                steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace metallic::cuda
