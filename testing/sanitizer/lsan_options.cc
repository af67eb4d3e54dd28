// SPDX-License-Identifier: Apache-2.0
// Options of LeakSanitizer, which reads them from the program: every program of a build with AddressSanitizer links this file.
//
// At the end of a process, LeakSanitizer crashes in the thread-local storage of OpenMP's threads (GCC 12, glibc 2.36). With
// use_tls=0 it stays out of there, but takes the memory for lost that the loader and OpenMP keep there, dlerror's message
// included. The suppressions match frames by name. They need whole stacks, which the fast unwinder does not give for code without
// frame pointers.
#define METALLIC_LSAN extern "C" __attribute__((visibility("default"), no_sanitize("address"))) const char*

METALLIC_LSAN __lsan_default_options() { return "use_tls=0:print_suppressions=0:fast_unwind_on_malloc=0"; }
METALLIC_LSAN __lsan_default_suppressions() { return "leak:_dl\nleak:ld-linux\nleak:libgomp\nleak:dlopen\nleak:dlsym\n"; }
