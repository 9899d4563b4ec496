#include "ecq/base/thread_pool.h"

#include <sched.h>

#include <fstream>
#include <set>
#include <string>
#include <utility>

namespace ecq {
namespace {

// About 20 to 50 us of polling: longer than the gap between two products of one token, far shorter
// than anything a person waits for.
constexpr int kSpinsBeforePark = 2000;
constexpr int kSpinsBeforeYield = 500;

void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(size_t num_threads) {
  if (num_threads > 1) workers_.reserve(num_threads - 1);
  try {
    for (size_t i = 1; i < num_threads; ++i) workers_.emplace_back([this, i] { WorkerLoop(i); });
  } catch (...) {
    Stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_seq_cst);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunErased(size_t num_tasks, void* fn, Invoke invoke) {
  fn_ = fn;
  invoke_ = invoke;
  num_tasks_ = num_tasks;
  next_task_.store(0, std::memory_order_relaxed);
  const uint64_t number = (gate_.load(std::memory_order_relaxed) >> kNumberShift) + 1;
  // Sequentially consistent with the parking of a worker: either it sees the new loop before it
  // sleeps, or we see that it is parked and wake it.
  gate_.store(number << kNumberShift, std::memory_order_seq_cst);
  if (parked_.load(std::memory_order_seq_cst) > 0) {
    { std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }
  ClaimTasks(0);
  gate_.fetch_or(kClosed, std::memory_order_acq_rel);
  for (int spins = 0; (gate_.load(std::memory_order_acquire) & kInsideMask) != 0; ++spins) {
    if (spins < kSpinsBeforeYield) {
      CpuRelax();
    } else {
      std::this_thread::yield();
    }
  }
}

std::optional<uint64_t> ThreadPool::WaitForLoop(uint64_t seen) {
  for (int spins = 0;; ++spins) {
    const uint64_t gate = gate_.load(std::memory_order_acquire);
    if (gate >> kNumberShift != seen) return gate;
    if (stop_.load(std::memory_order_relaxed)) return std::nullopt;
    if (spins < kSpinsBeforePark) {
      CpuRelax();
      continue;
    }
    std::unique_lock lock(mutex_);
    parked_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, [&] {
      return gate_.load(std::memory_order_seq_cst) >> kNumberShift != seen || stop_.load();
    });
    parked_.fetch_sub(1, std::memory_order_relaxed);
    spins = 0;
  }
}

void ThreadPool::WorkerLoop(size_t worker) {
  uint64_t seen = 0;
  while (std::optional<uint64_t> gate = WaitForLoop(seen)) {
    if ((*gate & kClosed) == 0) {
      if (!gate_.compare_exchange_strong(*gate, *gate + 1, std::memory_order_acq_rel)) continue;
      ClaimTasks(worker);
      gate_.fetch_sub(1, std::memory_order_acq_rel);
    }
    seen = *gate >> kNumberShift;
  }
}

void ThreadPool::ClaimTasks(size_t worker) {
  while (true) {
    const size_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
    if (task >= num_tasks_) return;
    invoke_(fn_, task, worker);
  }
}

size_t DefaultThreadCount() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 1;
  std::set<std::pair<int, int>> cores;  // (package, core)
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    int package = 0;
    int core = cpu;
    std::ifstream(topology + "physical_package_id") >> package;
    std::ifstream(topology + "core_id") >> core;
    cores.emplace(package, core);
  }
  return cores.empty() ? 1 : cores.size();
}

}  // namespace ecq
