// SPDX-License-Identifier: Apache-2.0
// Finds OpenBLAS, BLIS and oneDNN on this machine.
#include "device/peers/cpu_libraries.h"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <optional>
#include <sstream>
#include <string>

#include "base/shared_library.h"
#ifdef METALLIC_WITH_ONEDNN
#include "device/peers/onednn.h"
#endif

namespace metallic::cpu {
namespace {

constexpr auto kKnown = std::to_array<KnownLibrary>({
    {"openblas", "libopenblas0-pthread"},
    {"blis", "libblis4-pthread"},
#ifdef METALLIC_WITH_ONEDNN
    {"onednn", "libdnnl2"},
#endif
});

#ifdef __SANITIZE_THREAD__
constexpr bool kSeesThreads = false;
#else
constexpr bool kSeesThreads = true;
#endif

// Debian's variant with its own threads if it is installed, because another variant may have been made the default.
SharedLibrary load_pthread_variant(std::string_view folder, const std::string& file) {
  const SharedLibrary library(fmt::format("/usr/lib/{}/{}/{}", METALLIC_ARCHITECTURE, folder, file));
  return library ? library : SharedLibrary(file);
}

bool find_functions(const SharedLibrary& library, const char* set_threads, Blas& blas) {
  return library.find("cblas_sgemm", blas.sgemm) && library.find(set_threads, blas.set_threads);
}

std::optional<std::string> load_openblas(Blas& blas) {
  const SharedLibrary library = load_pthread_variant("openblas-pthread", "libopenblas.so.0");
  const char* (*config)() = nullptr;
  if (!find_functions(library, "openblas_set_num_threads_", blas) || !library.find("openblas_get_config", config))
    return std::nullopt;
  // "OpenBLAS 0.3.21 DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64"
  std::istringstream words(config());
  std::string name, version;
  words >> name >> version;
  return version;
}

std::optional<std::string> load_blis(Blas& blas) {
  const SharedLibrary library = load_pthread_variant("blis-pthread", "libblis.so.4");
  const char* (*version)() = nullptr;
  if (!find_functions(library, "bli_thread_set_num_threads_", blas) || !library.find("bli_info_get_version_str", version))
    return std::nullopt;
  return version();
}

struct LoadedLibraries {
  Blas openblas_api{}, blis_api{};
  std::optional<std::string> openblas, blis, onednn;  // versions
};

// Set by the first call of `libraries`. The lookups below never load a library.
std::atomic<const LoadedLibraries*> loaded = nullptr;

const LoadedLibraries& load() {
  static const LoadedLibraries once = [] {
    LoadedLibraries found;
    if (!kSeesThreads) return found;
    found.openblas = load_openblas(found.openblas_api);
    found.blis = load_blis(found.blis_api);
#ifdef METALLIC_WITH_ONEDNN
    found.onednn = load_onednn();
#endif
    return found;
  }();
  loaded.store(&once, std::memory_order_release);
  return once;
}

}  // namespace

std::span<const KnownLibrary> known_libraries() { return kKnown; }

std::vector<Library> libraries() {
  const LoadedLibraries& found = load();
  std::vector<Library> all;
  const auto add = [&](std::string_view name, const std::optional<std::string>& version) {
    if (version) all.push_back({std::string(name), *version});
  };
  add("openblas", found.openblas);
  add("blis", found.blis);
  add("onednn", found.onednn);
  return all;
}

const Blas* find_blas(std::string_view name) {
  const LoadedLibraries* found = loaded.load(std::memory_order_acquire);
  if (found && found->openblas && name == "openblas") return &found->openblas_api;
  if (found && found->blis && name == "blis") return &found->blis_api;
  return nullptr;
}

}  // namespace metallic::cpu
