// A fixed set of threads for loops inside one token: workers spin briefly, then park.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

namespace ecq {

// Runs loops on `num_threads` threads, the calling one included. One loop at a time: Run() is to be
// called from one thread only and not from inside a task.
class ThreadPool {
 public:
  // Throws std::system_error if the system refuses a thread.
  explicit ThreadPool(size_t num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t num_threads() const { return workers_.size() + 1; }

  // Calls fn(task, worker) once for every task in [0, num_tasks), in no particular order, and
  // returns when all have finished. `worker` in [0, num_threads()) names the executing thread, for
  // per-thread scratch. Tasks are claimed one by one, and a worker that does not come in time is not
  // waited for: a core that is busy with something else costs at most its own share.
  template <typename F>
  void Run(size_t num_tasks, F&& fn) {
    using Fn = std::remove_reference_t<F>;
    if (num_tasks == 0) return;
    if (workers_.empty() || num_tasks == 1) {
      for (size_t i = 0; i < num_tasks; ++i) fn(i, size_t{0});
      return;
    }
    RunErased(num_tasks, const_cast<void*>(static_cast<const void*>(&fn)),
              [](void* f, size_t task, size_t worker) { (*static_cast<Fn*>(f))(task, worker); });
  }

 private:
  using Invoke = void (*)(void*, size_t task, size_t worker);

  void Stop();
  void RunErased(size_t num_tasks, void* fn, Invoke invoke);
  void WorkerLoop(size_t worker);
  // Waits for a loop with another number than `seen`; nothing when the pool stops.
  std::optional<uint64_t> WaitForLoop(uint64_t seen);
  void ClaimTasks(size_t worker);

  std::vector<std::thread> workers_;

  // Written by Run() while no worker is inside, read by workers after they entered.
  void* fn_ = nullptr;
  Invoke invoke_ = nullptr;
  size_t num_tasks_ = 0;

  // The loop that is on: its number in the upper half, kClosed once all its tasks are claimed, and
  // below that the number of workers inside. A worker enters by raising that number, which fails
  // once the loop is closed; Run() returns when it is closed and empty.
  static constexpr uint64_t kClosed = uint64_t{1} << 31;
  static constexpr uint64_t kInsideMask = kClosed - 1;
  static constexpr int kNumberShift = 32;

  alignas(64) std::atomic<uint64_t> gate_{kClosed};
  alignas(64) std::atomic<size_t> next_task_{0};
  alignas(64) std::atomic<size_t> parked_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// Physical cores this process may use; at least 1.
size_t DefaultThreadCount();

}  // namespace ecq
