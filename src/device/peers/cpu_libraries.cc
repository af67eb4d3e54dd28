#include "device/peers/cpu_libraries.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <optional>
#include <sstream>
#include <string>

#include "device/peers/onednn.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>

// At the end of a process LeakSanitizer crashes in the thread-local storage of OpenMP's threads (GCC 12, glibc 2.36). Where it
// keeps out of that, it takes what the loader and OpenMP keep there for lost; to know it is theirs takes whole stacks, which the
// fast unwinder does not give for code without frame pointers.
#define METALLIC_LSAN extern "C" __attribute__((visibility("default"), no_sanitize("address"))) const char*
METALLIC_LSAN __lsan_default_options() { return "use_tls=0:print_suppressions=0:fast_unwind_on_malloc=0"; }
METALLIC_LSAN __lsan_default_suppressions() { return "leak:_dl\nleak:ld-linux\nleak:libgomp\n"; }
// So is the reason of a failure, which the loader keeps for dlerror.
using Unwatched = __lsan::ScopedDisabler;
#else
struct Unwatched {};
#endif

namespace metallic::cpu {
namespace {

constexpr auto kKnown = std::to_array<KnownLibrary>({
    {"openblas", "libopenblas0-pthread"},
    {"blis", "libblis4-pthread"},
    {"onednn", "libdnnl2"},
});

#if defined(__SANITIZE_THREAD__)
constexpr bool kSeesThreads = false;
#elif defined(__has_feature)
constexpr bool kSeesThreads = !__has_feature(thread_sanitizer);
#else
constexpr bool kSeesThreads = true;
#endif

// RTLD_LOCAL keeps equal symbols of two libraries apart. RTLD_DEEPBIND would too, but AddressSanitizer refuses it.
void* open(const std::string& file) {
  [[maybe_unused]] const Unwatched here{};
  return dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
}

// Debian's flavour with threads of its own where that is installed, as other flavours may have been made the default.
void* open_flavour(std::string_view folder, std::string_view file) {
  void* handle = open(fmt::format("/usr/lib/{}/{}/{}", METALLIC_ARCHITECTURE, folder, file));
  return handle ? handle : open(std::string(file));
}

// Fills `function` with a symbol; gives whether it is there.
template <typename Function>
bool find(void* handle, const char* symbol, Function& function) {
  [[maybe_unused]] const Unwatched here{};
  function = reinterpret_cast<Function>(dlsym(handle, symbol));
  return function != nullptr;
}

bool load_blas(void* handle, const char* set_threads, Blas& blas) {
  return handle && find(handle, "cblas_sgemm", blas.sgemm) && find(handle, set_threads, blas.set_threads);
}

std::optional<std::string> load_openblas(Blas& blas) {
  void* handle = open_flavour("openblas-pthread", "libopenblas.so.0");
  const char* (*config)() = nullptr;
  if (!load_blas(handle, "openblas_set_num_threads_", blas) || !find(handle, "openblas_get_config", config)) return std::nullopt;
  // "OpenBLAS 0.3.21 DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64"
  std::istringstream words(config());
  std::string name, version;
  words >> name >> version;
  return version;
}

std::optional<std::string> load_blis(Blas& blas) {
  void* handle = open_flavour("blis-pthread", "libblis.so.4");
  const char* (*version)() = nullptr;
  if (!load_blas(handle, "bli_thread_set_num_threads_", blas) || !find(handle, "bli_info_get_version_str", version))
    return std::nullopt;
  return version();
}

std::optional<std::string> load_onednn(Onednn& api) {
  void* handle = open("libdnnl.so.2");
  const bool complete =
      handle && find(handle, "dnnl_version", api.version) && find(handle, "dnnl_engine_create", api.engine_create) &&
      find(handle, "dnnl_stream_create", api.stream_create) &&
      find(handle, "dnnl_memory_desc_init_by_strides", api.memory_desc_init_by_strides) &&
      find(handle, "dnnl_memory_desc_get_size", api.memory_desc_get_size) &&
      find(handle, "dnnl_memory_create", api.memory_create) && find(handle, "dnnl_memory_destroy", api.memory_destroy) &&
      find(handle, "dnnl_matmul_desc_init", api.matmul_desc_init) &&
      find(handle, "dnnl_softmax_v2_forward_desc_init", api.softmax_desc_init) &&
      find(handle, "dnnl_primitive_attr_create", api.attr_create) &&
      find(handle, "dnnl_primitive_attr_destroy", api.attr_destroy) &&
      find(handle, "dnnl_primitive_attr_set_scratchpad_mode", api.attr_set_scratchpad_mode) &&
      find(handle, "dnnl_primitive_attr_set_output_scales", api.attr_set_output_scales) &&
      find(handle, "dnnl_primitive_attr_set_post_ops", api.attr_set_post_ops) &&
      find(handle, "dnnl_post_ops_create", api.post_ops_create) &&
      find(handle, "dnnl_post_ops_append_sum", api.post_ops_append_sum) &&
      find(handle, "dnnl_post_ops_destroy", api.post_ops_destroy) &&
      find(handle, "dnnl_primitive_desc_create", api.primitive_desc_create) &&
      find(handle, "dnnl_primitive_desc_destroy", api.primitive_desc_destroy) &&
      find(handle, "dnnl_primitive_desc_query_md", api.primitive_desc_query_md) &&
      find(handle, "dnnl_primitive_create", api.primitive_create) &&
      find(handle, "dnnl_primitive_destroy", api.primitive_destroy) &&
      find(handle, "dnnl_primitive_execute", api.primitive_execute) &&
      find(handle, "omp_set_num_threads", api.omp_set_num_threads) &&
      find(handle, "omp_get_max_threads", api.omp_get_max_threads);
  if (!complete || api.engine_create(&api.engine, dnnl_cpu, 0) != dnnl_success ||
      api.stream_create(&api.stream, api.engine, dnnl_stream_default_flags) != dnnl_success)
    return std::nullopt;
  const dnnl_version_t* version = api.version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

// What was found, loaded once for the process and never unloaded: libraries do not survive the end of their own threads.
struct Loaded {
  Blas openblas_api{}, blis_api{};
  Onednn onednn_api{};
  std::optional<std::string> openblas, blis, onednn;  // versions
};

// Set by the first call of `libraries`; the lookups below never load.
std::atomic<const Loaded*> loaded = nullptr;

const Loaded& load() {
  static const Loaded once = [] {
    Loaded found;
    if (!kSeesThreads) return found;
    found.openblas = load_openblas(found.openblas_api);
    found.blis = load_blis(found.blis_api);
    found.onednn = load_onednn(found.onednn_api);
    return found;
  }();
  loaded.store(&once, std::memory_order_release);
  return once;
}

}  // namespace

std::span<const KnownLibrary> known_libraries() { return kKnown; }

std::vector<Library> libraries() {
  const Loaded& found = load();
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
  const Loaded* found = loaded.load(std::memory_order_acquire);
  if (found && found->openblas && name == "openblas") return &found->openblas_api;
  if (found && found->blis && name == "blis") return &found->blis_api;
  return nullptr;
}

const Onednn* onednn() {
  const Loaded* found = loaded.load(std::memory_order_acquire);
  return found && found->onednn ? &found->onednn_api : nullptr;
}

}  // namespace metallic::cpu
