// SPDX-License-Identifier: Apache-2.0
// Numbers as they are stored: f32 or bf16, one after the other.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

enum class Storage { f32, bf16 };

class Tensor {
 public:
  Tensor(Storage storage, size_t count) : storage_(storage), bytes_(count * size_of(storage)) {}
  /// Numbers rounded to the storage's type.
  Tensor(Storage storage, const std::vector<float>& values) : Tensor(storage, values.size()) {
    for (size_t i = 0; i < values.size(); ++i) set(i, values[i]);
  }

  Storage storage() const { return storage_; }
  const void* data() const { return bytes_.data(); }

  float get(size_t i) const {
    if (storage_ == Storage::f32) {
      float x;
      std::memcpy(&x, bytes_.data() + 4 * i, 4);
      return x;
    }
    uint16_t upper;
    std::memcpy(&upper, bytes_.data() + 2 * i, 2);
    const uint32_t bits = static_cast<uint32_t>(upper) << 16;
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
  }

  void set(size_t i, float x) {
    if (storage_ == Storage::f32) {
      std::memcpy(bytes_.data() + 4 * i, &x, 4);
      return;
    }
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    const auto upper = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);  // to nearest, ties to even; no NaN here
    std::memcpy(bytes_.data() + 2 * i, &upper, 2);
  }

 private:
  static size_t size_of(Storage storage) { return storage == Storage::f32 ? 4 : 2; }
  Storage storage_;
  std::vector<unsigned char> bytes_;
};
