// A buffer of floats aligned to 64 bytes, as engines align tensors.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace metallic {

class Buffer {
 public:
  Buffer() = default;
  /// Throws std::bad_alloc. The content is not initialised.
  explicit Buffer(size_t count)
      : data_(static_cast<float*>(::operator new(count * sizeof(float) + 64, std::align_val_t(64)))), count_(count) {}

  float* data() const { return data_.get(); }
  size_t size() const { return count_; }

 private:
  struct Free {
    void operator()(float* data) const { ::operator delete(data, std::align_val_t(64)); }
  };
  std::unique_ptr<float, Free> data_;
  size_t count_ = 0;
};

}  // namespace metallic
