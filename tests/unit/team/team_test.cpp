#include "core/platform/team.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

using apr::Team;

TEST_CASE("every chunk runs exactly once, whatever the number of threads") {
  for (unsigned threads = 1; threads <= 8; ++threads) {
    Team team(threads);
    REQUIRE(team.threads() == threads);
    for (const std::uint32_t chunks : {0u, 1u, 2u, 3u, 7u, 64u, 1000u}) {
      std::vector<std::atomic<int>> runs(chunks);
      std::atomic<bool> thread_in_range{true};
      team.for_each(chunks, [&](std::uint32_t chunk, unsigned thread) {
        if (thread >= threads) thread_in_range = false;
        runs[chunk].fetch_add(1);
      });
      REQUIRE(thread_in_range);
      for (const auto& count : runs) REQUIRE(count.load() == 1);
    }
  }
}

TEST_CASE("what chunks write is visible to the caller, over very many small phases") {
  Team team(3);
  std::vector<std::uint64_t> values(16, 0);  // plain memory: a race would be seen by the sanitizer
  for (int phase = 0; phase < 20000; ++phase) {
    const auto chunks = static_cast<std::uint32_t>(2 + phase % 15);
    team.for_each(chunks, [&](std::uint32_t chunk, unsigned) { values[chunk] += chunk + 1; });
  }
  std::uint64_t expected = 0;
  for (int phase = 0; phase < 20000; ++phase) {
    const auto chunks = static_cast<std::uint64_t>(2 + phase % 15);
    expected += chunks * (chunks + 1) / 2;
  }
  CHECK(std::accumulate(values.begin(), values.end(), std::uint64_t{0}) == expected);
}

TEST_CASE("a thread never runs two chunks at once, so its scratch memory is its own") {
  Team team(4);
  std::vector<std::atomic<int>> inside(team.threads());
  std::atomic<bool> overlapped{false};
  for (int phase = 0; phase < 500; ++phase) {
    team.for_each(16, [&](std::uint32_t, unsigned thread) {
      if (inside[thread].fetch_add(1) != 0) overlapped = true;
      inside[thread].fetch_sub(1);
    });
  }
  CHECK_FALSE(overlapped);
}

TEST_CASE("a phase ends although workers are asleep, and sleeping workers wake up") {
  Team team(2);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // long enough to fall asleep
    std::atomic<int> count{0};
    team.for_each(8, [&](std::uint32_t, unsigned) { count.fetch_add(1); });
    REQUIRE(count == 8);
  }
}

TEST_CASE("the caller sleeps until a slow chunk of another thread is done") {
  Team team(2);
  std::atomic<int> done{0};
  team.for_each(2, [&](std::uint32_t, unsigned) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    done.fetch_add(1);
  });
  CHECK(done == 2);
}

TEST_CASE("phases end while foreign threads keep every core busy") {
  std::atomic<bool> stop{false};
  std::vector<std::thread> foreign;
  for (int i = 0; i < 4; ++i) {
    foreign.emplace_back([&] {
      while (!stop) {
      }
    });
  }
  Team team(4);
  std::atomic<std::uint64_t> count{0};
  for (int phase = 0; phase < 200; ++phase) {
    team.for_each(8, [&](std::uint32_t, unsigned) { count.fetch_add(1); });
  }
  stop = true;
  for (auto& thread : foreign) thread.join();
  CHECK(count == 1600);
}

TEST_CASE("teams come and go, used or unused, also side by side") {
  for (int round = 0; round < 50; ++round) {
    const Team unused(4);
    auto first = std::make_unique<Team>(2);
    Team second(3);
    std::atomic<int> count{0};
    first->for_each(4, [&](std::uint32_t, unsigned) { count.fetch_add(1); });
    second.for_each(4, [&](std::uint32_t, unsigned) { count.fetch_add(1); });
    first.reset();
    second.for_each(4, [&](std::uint32_t, unsigned) { count.fetch_add(1); });
    REQUIRE(count == 12);
  }
}

TEST_CASE("a team within a chunk of another team is fine") {
  Team outer(2);
  std::atomic<int> count{0};
  outer.for_each(4, [&](std::uint32_t, unsigned) {
    Team inner(2);
    inner.for_each(4, [&](std::uint32_t, unsigned) { count.fetch_add(1); });
  });
  CHECK(count == 16);
}

TEST_CASE("zero threads means one per processor") {
  const Team team(0);
  CHECK(team.threads() >= 1);
}
