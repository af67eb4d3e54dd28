// A build in a process of its own that times arms on request: the asking side of tuner/bench/bench_worker.h.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <utility>

#include "base/json.h"

namespace metallic {

/// Memory that processes share. What is timed cold depends by some percent on which physical pages it has: of two equal builds
/// with pages of their own, the one that got them first came out 2 to 10 % slower.
class SharedMemory {
 public:
  static Result<SharedMemory> create();  ///< Errors: what the system says.
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
  /// Starts `program arms`, which gets the memory's file as kSharedMemoryFd, and greets it. Errors: not to be started; `unsupported`
  /// where the program knows no arms or speaks another protocol; whatever `ask` refuses.
  static Result<BenchClient> start(const std::filesystem::path& program, const SharedMemory& memory, double timeout_s = 60);

  BenchClient(BenchClient&& other) noexcept;
  BenchClient& operator=(BenchClient&&) = delete;
  ~BenchClient();  ///< ends the process, by force where it does not end within a second

  /// The answer to a request. Errors, each naming the program: one that it answers, an answer that is no JSON object, none within
  /// the timeout, the end of the process.
  Result<Json> ask(const Json& request, double timeout_s);
  Result<Json> ask(const Json& request) { return ask(request, timeout_s_); }

  const std::string& program() const { return program_; }
  const std::string& build() const { return build_; }
  const std::string& device() const { return device_; }
  int64_t threads() const { return threads_; }

 private:
  BenchClient(std::string program, double timeout_s) : program_(std::move(program)), timeout_s_(timeout_s) {}
  Status greet();
  Status send(std::string_view line);
  Result<std::string> receive(double timeout_s);
  std::string last_words();

  std::string program_;
  double timeout_s_;
  pid_t process_ = -1;
  int socket_ = -1;   // its standard input and output
  int errors_ = -1;   // its standard error
  std::string said_;  // there, the end of it
  std::string unread_;
  std::string build_, device_;
  int64_t threads_ = 0;
};

}  // namespace metallic
