// SPDX-License-Identifier: Apache-2.0
// Wait until idle: threads of this process that still spin for work would take cores from the kernel that is timed next.
#pragma once

namespace metallic {

/// Whether all other threads of this process sleep, by /proc; true without /proc.
bool is_idle();

/// Waits until `is_idle`, `timeout_s` at most; returns the seconds that it waited.
double wait_until_idle(double timeout_s = 0.3);

}  // namespace metallic
