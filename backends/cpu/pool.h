// The default executor: a pthreadpool.
#pragma once

#include <memory>

#include "core/executor.h"

struct pthreadpool;

namespace metallic::cpu {

class Pool final : public Executor {
 public:
  /// `threads` ≥ 1, the calling thread included; with 1 no thread is started.
  explicit Pool(int threads);
  ~Pool() override;

  int threads() const override { return threads_; }
  void run(size_t count, Task task, void* context) override;
  void rest() override;

 private:
  struct Destroy {
    void operator()(pthreadpool* pool) const;
  };
  int threads_;
  std::unique_ptr<pthreadpool, Destroy> pool_;
};

}  // namespace metallic::cpu
