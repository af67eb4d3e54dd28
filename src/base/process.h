// SPDX-License-Identifier: Apache-2.0
// Notices that this process is the forked child of the one that made an object: the threads of its parent do not exist in it.
#pragma once

#include <atomic>
#include <cstdint>

namespace metallic {

/// A number that differs between a process and each of its forked descendants, never 0. One relaxed load, no system call. Sees
/// every fork of the system, also those that skip the C library's handlers.
uint32_t process_generation();

/// A mutex that a forked child finds free even if a thread of its parent held it: that thread will never unlock it there. What it
/// guards may then be half changed, so a holder does little, and in an order that keeps readers safe.
class ForkSafeMutex {
 public:
  void lock();
  void unlock();

 private:
  std::atomic<uint32_t> holder_ = 0;  // the generation of the process whose thread holds it; 0: free
};

}  // namespace metallic
