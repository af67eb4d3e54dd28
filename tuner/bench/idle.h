// Quiet: threads that spin for more work after their work is done take a core from whoever is timed next.
#pragma once

namespace metallic {

/// Whether all other threads of this process sleep, as the kernel says; true where there is no /proc.
bool is_idle();

/// Returns once `is_idle`, or after `most_s` seconds; gives the seconds it took.
double wait_until_idle(double most_s = 0.3);

}  // namespace metallic
