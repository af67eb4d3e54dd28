#include "backends/cpu/pool.h"

#include <pthreadpool.h>

namespace metallic::cpu {

Pool::Pool(int threads) : threads_(threads) {
  if (threads > 1) pool_.reset(pthreadpool_create(static_cast<size_t>(threads)));
  if (!pool_) threads_ = 1;
}

Pool::~Pool() = default;

void Pool::Destroy::operator()(pthreadpool* pool) const { pthreadpool_destroy(pool); }

void Pool::run(size_t count, Task task, void* context) {
  // pthreadpool serialises callers from several threads itself; its workers spin for a moment and then sleep.
  pthreadpool_parallelize_1d(pool_.get(), task, context, count, 0);
}

void Pool::rest() {
  // After work with this flag the workers sleep at once rather than spin for 70 to 100 ms.
  pthreadpool_parallelize_1d(
      pool_.get(), [](void*, size_t) {}, nullptr, static_cast<size_t>(threads_), PTHREADPOOL_FLAG_YIELD_WORKERS);
}

}  // namespace metallic::cpu
