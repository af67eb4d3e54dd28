// A buffer aligned to 64 bytes, as engines align tensors.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace metallic {

class Buffer {
 public:
  Buffer() = default;
  /// Throws std::bad_alloc. The content is not initialised.
  explicit Buffer(size_t bytes)
      : data_(static_cast<std::byte*>(::operator new(bytes + 64, std::align_val_t(64)))), bytes_(bytes) {}

  std::byte* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* data) const { ::operator delete(data, std::align_val_t(64)); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t bytes_ = 0;
};

}  // namespace metallic
