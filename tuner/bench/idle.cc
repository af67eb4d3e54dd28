// SPDX-License-Identifier: Apache-2.0
// Reads the state of each thread of this process from /proc/self/task.
#include "tuner/bench/idle.h"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "tuner/bench/clock.h"

namespace metallic {
namespace {

// The state letter of proc(5): it follows the last ')' of "tid (name) S …", since a name may contain parentheses.
char state(const std::filesystem::path& task) {
  std::string line;
  std::getline(std::ifstream(task / "stat"), line);
  const size_t name_end = line.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= line.size() ? 'X' : line[name_end + 2];
}

}  // namespace

bool is_idle() {
  // The state, not the CPU time: a spinning thread that is preempted uses no CPU time and still is runnable.
  const std::string self = std::to_string(gettid());
  std::error_code error;  // threads may end while the list is read
  for (std::filesystem::directory_iterator task("/proc/self/task", error), end; !error && task != end; task.increment(error))
    if (task->path().filename() != self && state(task->path()) == 'R') return false;
  return true;
}

double wait_until_idle(double timeout_s) {
  const double begin_s = now_s();
  while (!is_idle() && now_s() - begin_s < timeout_s) std::this_thread::sleep_for(std::chrono::microseconds(200));
  return now_s() - begin_s;
}

}  // namespace metallic
