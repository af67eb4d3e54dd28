// SPDX-License-Identifier: Apache-2.0
// Bench client: starts another build of metallic as a bench worker and asks it for times (protocol: bench_worker.h).
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/json.h"

namespace metallic {

/// Memory that two workers share for their operands. Cold times depend on which physical pages hold the operands: with separate
/// memory, two equal builds differed by 2 to 10 %.
class SharedMemory {
 public:
  static Result<SharedMemory> create();  ///< Errors: io, as the system says.
  SharedMemory(SharedMemory&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory();
  int file() const { return file_; }

 private:
  explicit SharedMemory(int file) : file_(file) {}
  int file_;
};

class BenchClient {
 public:
  /// Starts `program arms` with the shared memory as descriptor kSharedMemoryFd and shakes hands. Errors: io if the program does
  /// not start; `unsupported` if it is too old or speaks another version of the protocol; the errors of `ask`.
  static Result<BenchClient> start(const std::filesystem::path& program, const SharedMemory& memory, double timeout_s = 60);

  BenchClient(BenchClient&& other) noexcept;
  BenchClient& operator=(BenchClient&&) = delete;
  ~BenchClient();  ///< ends the worker, and kills it if it has not ended within a second

  /// Sends a request and waits for the answer. Errors, each naming the program: an error that the worker answers, an answer that
  /// is not a JSON object, a timeout, the end of the worker.
  Result<Json> ask(const Json& request, double timeout_s);
  Result<Json> ask(const Json& request) { return ask(request, timeout_s_); }

  const std::string& program() const { return program_; }
  const std::string& build() const { return build_; }
  const std::string& device() const { return device_; }
  int64_t threads() const { return threads_; }

 private:
  BenchClient(std::string program, double timeout_s) : program_(std::move(program)), timeout_s_(timeout_s) {}
  Status shake_hands();
  Status send(std::string_view line);
  Result<std::string> receive(double timeout_s);
  std::string describe_exit();

  std::string program_;
  double timeout_s_;
  pid_t process_ = -1;
  int socket_ = -1;          // the worker's standard input and output
  int stderr_pipe_ = -1;     // the worker's standard error
  std::string stderr_tail_;  // the last bytes of it
  std::string unread_;
  std::string build_, device_;
  int64_t threads_ = 0;
};

}  // namespace metallic
