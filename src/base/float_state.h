// SPDX-License-Identifier: Apache-2.0
// The floating-point state of a thread: rounding mode, flushing of denormals, traps and sticky flags.
#pragma once

#include <cstdint>
#if !defined(__x86_64__) && !defined(__aarch64__)
#include <cfenv>
#endif

namespace metallic {

/// While one lives, its thread rounds to nearest, keeps denormals and traps nothing. Its end restores the state of before with
/// its sticky flags, so whatever was computed in between raised nothing. Thus results do not depend on the thread that computes
/// them. Costs a few ns.
///
/// x87 has a state of its own. Nothing here computes with it, but the compiler's conversion to f16 raises flags there, and traps.
class DefaultFloatState {
 public:
  DefaultFloatState();
  DefaultFloatState(const DefaultFloatState&) = delete;
  DefaultFloatState& operator=(const DefaultFloatState&) = delete;
  ~DefaultFloatState();

 private:
#if defined(__x86_64__)
  // What fnstenv stores.
  struct X87 {
    uint16_t control, reserved, status, rest[11];
  };
  static constexpr uint16_t kX87Flags = 0x3F;  // of the status; in the control word the same bits are masks
  uint16_t x87_status() const {
    uint16_t status;
    asm volatile("fnstsw %0" : "=a"(status)::"memory");
    return status;
  }

  uint32_t before_;
  X87 x87_;  // without traps, only its status is filled
  bool x87_traps_;
#elif defined(__aarch64__)
  uint64_t control_, flags_;
#else
  std::fenv_t before_;
#endif
};

// Inline assembly that claims to change memory, because compilers may move arithmetic across the intrinsics, but not the loads
// and stores of its operands across this.
#if defined(__x86_64__)

inline DefaultFloatState::DefaultFloatState() {
  constexpr uint32_t kDefault = 0x1F80, kFlags = 0x3F;
  asm volatile("stmxcsr %0" : "=m"(before_)::"memory");
  if ((before_ & ~kFlags) != kDefault) asm volatile("ldmxcsr %0" ::"m"(kDefault) : "memory");
  uint16_t control;
  asm volatile("fnstcw %0" : "=m"(control)::"memory");
  x87_traps_ = (control & kX87Flags) != kX87Flags;
  if (x87_traps_) [[unlikely]] {
    asm volatile("fnstenv %0" : "=m"(x87_)::"memory");  // masks all traps, too
  } else {
    x87_.status = x87_status();
  }
}

inline DefaultFloatState::~DefaultFloatState() {
  uint32_t now;
  asm volatile("stmxcsr %0" : "=m"(now)::"memory");
  if (now != before_) asm volatile("ldmxcsr %0" ::"m"(before_) : "memory");
  if (x87_traps_) [[unlikely]] {
    asm volatile("fldenv %0" ::"m"(x87_) : "memory");
  } else if (((x87_status() ^ x87_.status) & kX87Flags) != 0) [[unlikely]] {
    X87 changed;
    asm volatile("fnstenv %0" : "=m"(changed)::"memory");
    changed.status = x87_.status;
    asm volatile("fldenv %0" ::"m"(changed) : "memory");
  }
}

#elif defined(__aarch64__)

inline DefaultFloatState::DefaultFloatState() {
  asm volatile("mrs %0, fpcr" : "=r"(control_)::"memory");
  asm volatile("mrs %0, fpsr" : "=r"(flags_)::"memory");
  if (control_ != 0) asm volatile("msr fpcr, %0" ::"r"(uint64_t{0}) : "memory");
}

inline DefaultFloatState::~DefaultFloatState() {
  if (control_ != 0) asm volatile("msr fpcr, %0" ::"r"(control_) : "memory");
  asm volatile("msr fpsr, %0" ::"r"(flags_) : "memory");
}

#else

inline DefaultFloatState::DefaultFloatState() {
  std::fegetenv(&before_);
  std::fesetenv(FE_DFL_ENV);
}

inline DefaultFloatState::~DefaultFloatState() { std::fesetenv(&before_); }

#endif

}  // namespace metallic
