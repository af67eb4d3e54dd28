// SPDX-License-Identifier: Apache-2.0
// Process and socket handling of the bench client: spawn, send a line, wait for a line, report how the worker ended.
#include "tuner/bench/bench_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "tuner/bench/bench_worker.h"
#include "tuner/bench/timer.h"

extern char** environ;

namespace metallic {
namespace {

constexpr size_t kLongestAnswer = 1 << 16;
constexpr size_t kStderrTailBytes = 4096;

// Pins all threads of a process to the first `count` cores that this process may use. Otherwise two workers with fewer threads
// than cores run on different cores, and load on one of these cores looks like a slower build. Best effort: without permission
// the threads stay where they are.
void pin_to_first_cores(pid_t process, int64_t count) {
  cpu_set_t allowed, first;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  CPU_ZERO(&first);
  for (size_t core = 0; core < CPU_SETSIZE && CPU_COUNT(&first) < count; ++core)
    if (CPU_ISSET(core, &allowed)) CPU_SET(core, &first);
  std::error_code error;  // threads may end while the list is read
  std::filesystem::directory_iterator task(fmt::format("/proc/{}/task", process), error), end;
  for (; !error && task != end; task.increment(error))
    sched_setaffinity(std::atoi(task->path().filename().c_str()), sizeof first, &first);
}

}  // namespace

Result<SharedMemory> SharedMemory::create() {
  const int file = memfd_create("metallic operands", MFD_CLOEXEC);
  if (file < 0) return fail(Code::io, "cannot create shared memory: {}", std::strerror(errno));
  return SharedMemory(file);
}

SharedMemory::~SharedMemory() {
  if (file_ >= 0) close(file_);
}

Result<BenchClient> BenchClient::start(const std::filesystem::path& program, const SharedMemory& memory, double timeout_s) {
  BenchClient made(program.native(), timeout_s);
  int sockets[2], errors[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    return fail(Code::io, "{}: cannot create a socket: {}", in_quotes(made.program_), std::strerror(errno));
  made.socket_ = sockets[0];
  if (pipe2(errors, O_CLOEXEC) != 0) {
    close(sockets[1]);
    return fail(Code::io, "{}: cannot create a pipe: {}", in_quotes(made.program_), std::strerror(errno));
  }
  made.stderr_pipe_ = errors[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, sockets[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, sockets[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors[1], STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, memory.file(), kSharedMemoryFd);
  char* const words[] = {made.program_.data(), const_cast<char*>("arms"), nullptr};
  const int failed = posix_spawn(&made.process_, made.program_.c_str(), &actions, nullptr, words, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(sockets[1]);
  close(errors[1]);
  if (failed != 0) {
    made.process_ = -1;
    return fail(Code::io, "{} cannot be started: {}", in_quotes(made.program_), std::strerror(failed));
  }
  METALLIC_CHECK(made.shake_hands());
  return made;
}

BenchClient::BenchClient(BenchClient&& other) noexcept
    : program_(std::move(other.program_)),
      timeout_s_(other.timeout_s_),
      process_(std::exchange(other.process_, -1)),
      socket_(std::exchange(other.socket_, -1)),
      stderr_pipe_(std::exchange(other.stderr_pipe_, -1)),
      stderr_tail_(std::move(other.stderr_tail_)),
      unread_(std::move(other.unread_)),
      build_(std::move(other.build_)),
      device_(std::move(other.device_)),
      threads_(other.threads_) {}

BenchClient::~BenchClient() {
  if (socket_ >= 0) close(socket_);  // the worker ends at the end of its input
  if (stderr_pipe_ >= 0) close(stderr_pipe_);
  if (process_ < 0) return;
  for (const auto begin = Clock::now(); seconds_since(begin) < 1; std::this_thread::sleep_for(std::chrono::milliseconds(2)))
    if (waitpid(process_, nullptr, WNOHANG) != 0) return;
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

Status BenchClient::shake_hands() {
  auto answer = ask({{"ask", "hello"}});
  if (!answer) {
    // The message of builds older than the gate.
    if (stderr_tail_.find("unknown subcommand \"arms\"") != std::string::npos)
      return fail(Code::unsupported, "{} is too old to be gated: it has no command `metallic arms`", in_quotes(program_));
    return tl::unexpected<Error>(answer.error());
  }
  const JsonObject hello(*answer, in_quotes(program_) + ":");
  METALLIC_TRY(const int64_t protocol, hello.integer("protocol", 0, INT64_MAX));
  if (protocol != kBenchProtocol)
    return fail(Code::unsupported,
                "{} speaks version {} of the bench protocol, this build speaks {}: use a gate of the same version",
                in_quotes(program_), protocol, kBenchProtocol);
  METALLIC_TRY(build_, hello.text("build"));
  METALLIC_TRY(device_, hello.text("device"));
  METALLIC_TRY(threads_, hello.integer("threads", 1, 1024));
  pin_to_first_cores(process_, threads_);
  return {};
}

Result<Json> BenchClient::ask(const Json& request, double timeout_s) {
  METALLIC_CHECK(send(request.dump() + "\n"));
  METALLIC_TRY(const std::string line, receive(timeout_s));
  auto answer = parse_json(line, "answer", kLongestAnswer);
  if (!answer || !answer->is_object())
    return fail(Code::invalid_argument, "{} answered {} instead of a JSON object: is it a build of metallic?",
                in_quotes(program_), in_quotes(line));
  if (const auto error = answer->find("error"); error != answer->end())
    return fail(Code::invalid_argument, "{}: {}", in_quotes(program_),
                error->is_string() ? one_line(error->get<std::string>()) : "an unnamed error");
  return answer;
}

Status BenchClient::send(std::string_view line) {
  while (!line.empty()) {
    const ssize_t sent = ::send(socket_, line.data(), line.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return fail(Code::io, "{} {}", in_quotes(program_), describe_exit());
    line.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

Result<std::string> BenchClient::receive(double timeout_s) {
  const auto begin = Clock::now();
  for (;;) {
    if (const size_t end = unread_.find('\n'); end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    if (unread_.size() > kLongestAnswer)
      return fail(Code::invalid_argument, "{} answered {} bytes without a newline: is it a build of metallic?",
                  in_quotes(program_), unread_.size());
    const double left = timeout_s - seconds_since(begin);
    pollfd ready[] = {{socket_, POLLIN, 0}, {stderr_pipe_, POLLIN, 0}};
    if (left <= 0) return fail(Code::io, "{} did not answer within {:g} s", in_quotes(program_), timeout_s);
    if (poll(ready, 2, static_cast<int>(std::min(left, 1e6) * 1e3) + 1) < 0 && errno != EINTR)
      return fail(Code::io, "{}: {}", in_quotes(program_), std::strerror(errno));
    char bytes[4096];
    if (ready[1].revents != 0) {
      const ssize_t count = read(stderr_pipe_, bytes, sizeof bytes);
      if (count > 0) {
        stderr_tail_.append(bytes, static_cast<size_t>(count));
        if (stderr_tail_.size() > kStderrTailBytes) stderr_tail_.erase(0, stderr_tail_.size() - kStderrTailBytes);
      } else {
        close(std::exchange(stderr_pipe_, -1));  // poll ignores negative descriptors
      }
    }
    if (ready[0].revents != 0) {
      const ssize_t count = read(socket_, bytes, sizeof bytes);
      if (count <= 0) return fail(Code::io, "{} {}", in_quotes(program_), describe_exit());
      unread_.append(bytes, static_cast<size_t>(count));
    }
  }
}

// How the worker ended, with the last line of its standard error.
std::string BenchClient::describe_exit() {
  char bytes[4096];
  pollfd ready{stderr_pipe_, POLLIN, 0};
  while (stderr_pipe_ >= 0 && poll(&ready, 1, 100) > 0) {
    const ssize_t count = read(stderr_pipe_, bytes, sizeof bytes);
    if (count <= 0) break;
    stderr_tail_.append(bytes, static_cast<size_t>(count));
  }
  int status = 0;
  pid_t ended = 0;
  for (const auto begin = Clock::now(); ended == 0 && seconds_since(begin) < 1;) {
    ended = waitpid(process_, &status, WNOHANG);
    if (ended == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (ended == 0) return "closed its output";
  process_ = -1;
  std::string how = WIFSIGNALED(status) ? fmt::format("was killed by signal {}", WTERMSIG(status))
                                        : fmt::format("exited with code {}", WEXITSTATUS(status));
  while (stderr_tail_.ends_with('\n')) stderr_tail_.pop_back();
  if (!stderr_tail_.empty()) how += ": " + in_quotes(std::string_view(stderr_tail_).substr(stderr_tail_.rfind('\n') + 1));
  return how;
}

}  // namespace metallic
