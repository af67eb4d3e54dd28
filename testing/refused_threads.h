// SPDX-License-Identifier: Apache-2.0
// Replaces pthread_create in a test program, to refuse threads as a limit on processes does. Include it in one file of a program.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>

namespace metallic {

constexpr int kManyThreads = 1 << 20;
inline std::atomic<int> threads_left{kManyThreads};

}  // namespace metallic

// Sanitizers have a pthread_create of their own.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define METALLIC_REFUSES_THREADS 1
extern "C" __attribute__((visibility("default"))) int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                                                     void* (*function)(void*), void* argument) {
  static const auto original = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return --metallic::threads_left < 0 ? EAGAIN : original(thread, attributes, function, argument);
}
#else
#define METALLIC_REFUSES_THREADS 0
#endif

namespace metallic {

// For its life, the system lets this process start `allowed` threads.
class AllowedThreads {
 public:
  explicit AllowedThreads(int allowed) { threads_left = allowed; }
  AllowedThreads(const AllowedThreads&) = delete;
  AllowedThreads& operator=(const AllowedThreads&) = delete;
  ~AllowedThreads() { threads_left = kManyThreads; }
};

}  // namespace metallic
