// A buffer aligned to 64 bytes, as engines align tensors; of this process, or shared with others.
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
  /// Throws std::bad_alloc. The content is not initialised.
  explicit Buffer(size_t bytes)
      : data_(static_cast<std::byte*>(::operator new(bytes + 64, std::align_val_t(64)))), bytes_(bytes) {}

  /// The first bytes of a file that this process may write, grown where it is shorter. Errors: what the system says.
  static Result<Buffer> shared(int file, size_t bytes) {
    const off_t end = lseek(file, 0, SEEK_END);
    if (end < 0 || (static_cast<size_t>(end) < bytes && ftruncate(file, static_cast<off_t>(bytes)) != 0))
      return fail(Code::io, "shared memory of {} bytes cannot be had: {}", bytes, std::strerror(errno));
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (data == MAP_FAILED) return fail(Code::io, "shared memory of {} bytes cannot be had: {}", bytes, std::strerror(errno));
    Buffer made;
    made.data_ = std::unique_ptr<std::byte, Free>(static_cast<std::byte*>(data), Free(bytes));
    made.bytes_ = bytes;
    return made;
  }

  std::byte* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    size_t mapped;  // bytes of a file; 0: from the heap
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
