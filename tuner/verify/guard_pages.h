// SPDX-License-Identifier: Apache-2.0
// Memory that ends at an unreadable page, so that a kernel that looks past its operand dies; unaligned as a side effect.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

namespace metallic::validation {

class Guarded {
 public:
  /// All bytes are 0xff, which is NaN in every type; sizes beyond `kSparse` stay unbacked (and zero) until touched.
  /// Throws std::bad_alloc.
  explicit Guarded(size_t bytes) : bytes_(bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t body = (bytes + page - 1) / page * page;
    size_ = body + page;
    void* base = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(base);
    if (mprotect(base_ + body, page, PROT_NONE) != 0) {
      munmap(base_, size_);
      throw std::bad_alloc();
    }
    data_ = base_ + body - bytes;
    if (bytes <= kSparse) std::memset(base_, 0xff, body);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(base_, size_); }

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

  static constexpr size_t kSparse = size_t{1} << 28;

 private:
  std::byte* base_;
  std::byte* data_;
  size_t size_, bytes_;
};

}  // namespace metallic::validation
