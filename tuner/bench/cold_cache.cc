// SPDX-License-Identifier: Apache-2.0
// Compares streaming the same bytes again with streaming others, to find a size that no cache holds.
#include "tuner/bench/cold_cache.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ops/partition.h"
#include "tuner/bench/buffer.h"
#include "tuner/bench/clock.h"
#include "tuner/bench/stream.h"

namespace metallic {
namespace {

// A cache four times as fast as memory that serves an eighth of the bytes makes reading 10 % faster. Memory speed itself varies
// by a few percent.
constexpr double kAsSlow = 1.1;

using Reading = std::function<double(int64_t)>;

// Alternates, so that both see the same machine state.
bool is_as_slow(int64_t bytes, const Reading& again, const Reading& fresh) {
  std::array<double, 3> near, far;
  for (size_t i = 0; i < near.size(); ++i) {
    near[i] = again(bytes);
    far[i] = fresh(bytes);
  }
  std::ranges::sort(near);
  std::ranges::sort(far);
  return far[1] <= near[1] * kAsSlow;
}

// Streams parts of a buffer: the first part again, the others in turn.
class Streams {
 public:
  Streams(int64_t most, const DeviceInfo& device, Executor& executor) : most_(most), device_(device), executor_(executor) {}

  double again(int64_t bytes) {
    hold(bytes);
    read(0, bytes);  // fills any cache that can hold them
    return read(0, bytes);
  }

  double fresh(int64_t bytes) {
    hold(bytes);
    place_ += bytes;
    if (place_ + bytes > static_cast<int64_t>(buffer_.bytes())) place_ = bytes;
    return read(place_, bytes);
  }

 private:
  void hold(int64_t bytes) {
    constexpr int64_t kFar = 256 << 20;  // larger than nearly every cache; touching more takes long
    const auto wanted = static_cast<size_t>(std::min(most_, std::max(kFar, 4 * bytes)));
    if (buffer_.bytes() >= wanted) return;
    buffer_ = Buffer();  // frees the old one first
    buffer_ = Buffer(wanted);
    // Touches all pages: untouched ones would all map to the zero page, and be faulted in while timed.
    const int64_t tasks = executor_.threads();
    executor_.parallel(static_cast<size_t>(tasks), [&](size_t task) {
      const UnitRange part = task_range(static_cast<int64_t>(wanted), tasks, static_cast<int64_t>(task));
      std::memset(buffer_.data() + part.begin, 0, static_cast<size_t>(part.end - part.begin));
    });
    place_ = 0;
  }

  double read(int64_t place, int64_t bytes) {
    const double begin_s = now_s();
    stream_read(reinterpret_cast<const float*>(buffer_.data() + place), static_cast<size_t>(bytes) / sizeof(float), device_,
                executor_);
    return now_s() - begin_s;
  }

  int64_t most_;
  const DeviceInfo& device_;
  Executor& executor_;
  Buffer buffer_;
  int64_t place_ = 0;
};

}  // namespace

ColdBytes cold_bytes(int64_t least, int64_t most, const Reading& again, const Reading& fresh) {
  int64_t bytes = least;
  for (; bytes <= most / 2; bytes *= 2) {
    const bool first = is_as_slow(bytes, again, fresh), second = is_as_slow(bytes, again, fresh);
    if (first == second ? first : is_as_slow(bytes, again, fresh)) return {.bytes = bytes, .confirmed = true};
  }
  return {.bytes = std::min(bytes, most), .confirmed = false};
}

ColdBytes measure_cold_bytes(const DeviceInfo& device, Executor& executor) {
  constexpr int64_t kLeast = 16 << 20, kMost = 1 << 30, kPage = 4096;
  const int64_t least = std::max(2 * device.cpu().llc_bytes, kLeast) / kPage * kPage;
  const int64_t most = device.memory_bytes > 0 ? std::min(kMost, device.memory_bytes / 10 / kPage * kPage) : kMost;
  Streams streams(most, device, executor);
  return cold_bytes(
      least, most, [&](int64_t bytes) { return streams.again(bytes); }, [&](int64_t bytes) { return streams.fresh(bytes); });
}

}  // namespace metallic
