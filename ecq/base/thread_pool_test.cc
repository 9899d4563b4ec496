// ThreadPool: every task exactly once, whatever the number of threads, cores and rounds.
#include "ecq/base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <vector>

namespace ecq {
namespace {

class ThreadPoolTest : public testing::TestWithParam<size_t> {};

TEST_P(ThreadPoolTest, RunsEveryTaskOnceInEveryRound) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.num_threads(), std::max<size_t>(GetParam(), 1));
  constexpr size_t kRounds = 400;
  for (size_t round = 0; round < kRounds; ++round) {
    // 0, 1, few and many tasks, in changing order.
    const size_t tasks = round % 4 == 3 ? 257 : round % 4 * (round % 7);
    std::vector<std::atomic<int>> runs(tasks);
    std::atomic<bool> worker_in_range{true};
    pool.Run(tasks, [&](size_t task, size_t worker) {
      runs[task].fetch_add(1);
      if (worker >= pool.num_threads()) worker_in_range = false;
    });
    for (size_t i = 0; i < tasks; ++i) ASSERT_EQ(runs[i].load(), 1) << "round " << round;
    ASSERT_TRUE(worker_in_range);
  }
}

// What tasks wrote is visible after Run(), and per-worker scratch needs no locks.
TEST_P(ThreadPoolTest, ResultsArePublishedAndWorkersHaveTheirOwnScratch) {
  ThreadPool pool(GetParam());
  constexpr size_t kTasks = 5000;
  std::vector<uint64_t> squares(kTasks);
  std::vector<uint64_t> sums(pool.num_threads());
  for (int round = 0; round < 20; ++round) {
    std::fill(sums.begin(), sums.end(), 0);
    pool.Run(kTasks, [&](size_t task, size_t worker) {
      squares[task] = task * task + round;
      sums[worker] += task;
    });
    ASSERT_EQ(std::accumulate(sums.begin(), sums.end(), uint64_t{0}), kTasks * (kTasks - 1) / 2);
    for (size_t i = 0; i < kTasks; ++i) ASSERT_EQ(squares[i], i * i + round);
  }
}

// Workers that went to sleep between two loops are woken.
TEST_P(ThreadPoolTest, WakesParkedWorkers) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<size_t> done{0};
    pool.Run(64, [&](size_t, size_t) { done.fetch_add(1); });
    ASSERT_EQ(done.load(), 64u);
  }
}

TEST_P(ThreadPoolTest, StopsWithoutEverRunning) { ThreadPool pool(GetParam()); }

// 8 threads are more than most test machines have cores.
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Range<size_t>(0, 9));

TEST(ThreadPoolShapeTest, OneThreadRunsOnTheCaller) {
  ThreadPool pool(1);
  const auto caller = std::this_thread::get_id();
  pool.Run(3, [&](size_t, size_t worker) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_EQ(worker, 0u);
  });
}

TEST(ThreadPoolShapeTest, DefaultThreadCountIsSensible) {
  EXPECT_GE(DefaultThreadCount(), 1u);
  EXPECT_LE(DefaultThreadCount(), std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace ecq
