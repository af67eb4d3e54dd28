// SPDX-License-Identifier: Apache-2.0
// A scope in which a GPU is the thread's current device. The caller's is current again afterwards.
#pragma once

namespace metallic::cuda {

class DeviceScope {
 public:
  /// -1: does nothing. If the device cannot be made current, the calls in the scope fail.
  explicit DeviceScope(int ordinal);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  [[maybe_unused]] int before_ = -1;  // to restore; -1: nothing
};

}  // namespace metallic::cuda
