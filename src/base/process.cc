// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <pthread.h>
#include <sys/mman.h>

#include <new>

namespace metallic {
namespace {

// A word that is 0 in a new child. Linux wipes the page for us, whatever kind of fork it is. Elsewhere the C library's handler
// must do, which the system call and _Fork pass over.
std::atomic<uint32_t>& wiped_on_fork() {
#ifdef MADV_WIPEONFORK
  void* const page = mmap(nullptr, sizeof(std::atomic<uint32_t>), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page != MAP_FAILED) {
    if (madvise(page, sizeof(std::atomic<uint32_t>), MADV_WIPEONFORK) == 0) return *new (page) std::atomic<uint32_t>(0);
    munmap(page, sizeof(std::atomic<uint32_t>));
  }
#endif
  static std::atomic<uint32_t> word = 0;
  pthread_atfork(nullptr, nullptr, [] { word = 0; });
  return word;
}

}  // namespace

uint32_t process_generation() {
  static std::atomic<uint32_t>& word = wiped_on_fork();
  static std::atomic<uint32_t> last = 0;  // a child counts on from its parent's
  uint32_t known = word.load(std::memory_order_relaxed);
  if (known != 0) [[likely]]
    return known;
  const uint32_t next = ++last;
  return word.compare_exchange_strong(known, next) ? next : known;
}

void ForkSafeMutex::lock() {
  const uint32_t mine = process_generation();
  for (uint32_t seen = 0; !holder_.compare_exchange_strong(seen, mine); seen = 0) {
    if (seen == mine)
      holder_.wait(mine);
    else if (holder_.compare_exchange_strong(seen, mine))
      return;  // from a thread that was left behind in the parent
  }
}

void ForkSafeMutex::unlock() {
  holder_.store(0);
  holder_.notify_one();
}

}  // namespace metallic
