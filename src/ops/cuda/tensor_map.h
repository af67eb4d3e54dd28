// SPDX-License-Identifier: Apache-2.0
// TMA tensor maps (CUtensorMap): the shape, box and swizzle with which TMA sees a tensor.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>

namespace metallic::cuda {

/// A batch of row-major matrices of 16-bit elements; strides in elements.
struct TensorLayout {
  int64_t rows, columns, row_stride;
  int64_t batch, batch_stride;
};

/// Whether the strides and sizes fit a tensor map: all rows of all matrices begin at multiples of 16 bytes.
inline bool fits_tensor_map(const TensorLayout& t) {
  constexpr int64_t kMaxSize = int64_t{1} << 30;
  return (t.rows <= 1 || t.row_stride % 8 == 0) && (t.batch <= 1 || (t.batch_stride % 8 == 0 && t.batch_stride > 0)) &&
         t.rows <= kMaxSize && t.columns <= kMaxSize;
}

/// Encodes a map for boxes of 64 columns × `box_rows`, 128-byte swizzle: in shared memory, which must be aligned to 1024 bytes,
/// chunk c of row r is at chunk c ^ (r % 8). Elements beyond the tensor read as zero. Takes 0.1 µs and no call to the device.
/// False if the address is not a multiple of 16, the layout does not fit, or the driver does not support tensor maps.
inline bool make_tensor_map(CUtensorMap& map, const void* data, const TensorLayout& t, uint32_t box_rows) {
  if (reinterpret_cast<uintptr_t>(data) % 16 != 0 || !fits_tensor_map(t)) return false;
  using Encode =
      CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*, const cuuint32_t*,
                   const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  // Looked up through the runtime: the library does not link with the driver.
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
  // The stride of a single row or matrix is arbitrary, so pass one that a map accepts.
  const int64_t row_stride = t.rows > 1 ? t.row_stride : (t.columns + 7) / 8 * 8;
  const int64_t batch_stride = t.batch > 1 ? t.batch_stride : row_stride * t.rows;
  const auto bytes = [](int64_t elements) { return static_cast<cuuint64_t>(2 * elements); };
  const std::array<cuuint64_t, 3> sizes = {static_cast<cuuint64_t>(t.columns), static_cast<cuuint64_t>(t.rows),
                                           static_cast<cuuint64_t>(t.batch)};
  const std::array<cuuint64_t, 2> strides = {bytes(row_stride), bytes(batch_stride)};
  const std::array<cuuint32_t, 3> box = {64, box_rows, 1}, element_strides = {1, 1, 1};
  return encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 3, const_cast<void*>(data), sizes.data(), strides.data(), box.data(),
                element_strides.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace metallic::cuda
