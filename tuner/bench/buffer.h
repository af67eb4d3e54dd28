// SPDX-License-Identifier: Apache-2.0
// Buffer: memory aligned to 64 bytes, as engines align tensors; private or shared between processes.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

#include "base/status.h"

namespace metallic {

class Buffer {
 public:
  Buffer() = default;
  /// Not initialised. Throws std::bad_alloc.
  explicit Buffer(size_t bytes)
      : data_(static_cast<std::byte*>(::operator new(bytes + 64, std::align_val_t(64)))), bytes_(bytes) {}

  /// Maps the first `bytes` of a writable file, which grows if it is shorter. Errors: io, as the system says.
  static Result<Buffer> shared(int file, size_t bytes) {
    const off_t end = lseek(file, 0, SEEK_END);
    if (end < 0 || (static_cast<size_t>(end) < bytes && ftruncate(file, static_cast<off_t>(bytes)) != 0))
      return fail(Code::io, "cannot map {} bytes of shared memory: {}", bytes, std::strerror(errno));
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (data == MAP_FAILED) return fail(Code::io, "cannot map {} bytes of shared memory: {}", bytes, std::strerror(errno));
    Buffer made;
    made.data_ = std::unique_ptr<std::byte, Free>(static_cast<std::byte*>(data), Free(bytes));
    made.bytes_ = bytes;
    return made;
  }

  std::byte* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    size_t mapped;  // bytes to unmap; 0: heap memory
    Free() : mapped(0) {}
    explicit Free(size_t bytes) : mapped(bytes) {}
    void operator()(std::byte* data) const {
      if (mapped > 0)
        munmap(data, mapped);
      else
        ::operator delete(data, std::align_val_t(64));
    }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t bytes_ = 0;
};

}  // namespace metallic
