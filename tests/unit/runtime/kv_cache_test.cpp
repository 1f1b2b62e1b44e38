#include "core/runtime/kv_cache.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "core/base/cat.h"

namespace apr {
namespace {

using Catch::Matchers::Contains;

CacheDecl decl(std::string name, std::uint32_t window = 0, Type element = Type::f32) {
  return {std::move(name), 2, 4, window, false, element};
}

KvCache make(std::vector<CacheDecl> decls, KvCacheOptions options) {
  auto cache = KvCache::create(decls, options);
  REQUIRE(cache);
  return *std::move(cache);
}

std::byte* slot(const KvPages& pages, std::uint32_t position) {
  const std::uint32_t page = position / pages.page_positions;
  REQUIRE(page >= pages.first_page);
  REQUIRE(page - pages.first_page < pages.pages.size());
  return pages.pages[page - pages.first_page] +
         position % pages.page_positions * sizeof(std::uint64_t);
}

TEST_CASE("reserve is all or nothing, and says what is free") {
  KvCache cache = make({decl("layer0"), decl("layer1")}, {8, 2, 20});
  CHECK(cache.page_bytes(0) == 2 * 2 * 4 * 8 * sizeof(float));
  CHECK(cache.allocated_bytes() == 0);
  REQUIRE(cache.reserve(0, 12));
  CHECK(cache.length(0) == 0);
  CHECK(cache.pages(1, 0).pages.size() == 2);
  cache.commit(0, 12);
  CHECK(cache.length(0) == 12);
  const auto refused = cache.reserve(1, 9);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().to_string(), Contains("9 more positions") && Contains("8 of 20"));
  CHECK(cache.pages(0, 1).pages.empty());
  CHECK(cache.reserve(1, 8));
  CHECK_FALSE(cache.reserve(0, 13));
  CHECK_FALSE(cache.reserve(2, 1));
  // Cutting to the length that is held gives back what was only reserved.
  REQUIRE(cache.truncate(1, 0));
  CHECK(cache.reserve(0, 20));
  REQUIRE(cache.truncate(0, 12));
  CHECK(cache.pages(0, 0).pages.size() == 2);
  CHECK_FALSE(cache.truncate(0, 13));
  cache.release(0);
  CHECK(cache.length(0) == 0);
  const std::uint64_t before = cache.allocated_bytes();
  REQUIRE(cache.reserve(1, 20));
  CHECK(cache.allocated_bytes() == before);  // pages are used again
}

TEST_CASE("half-precision pages take half the bytes") {
  const KvCache cache = make({decl("a"), decl("b", 0, Type::f16)}, {8, 1, 8});
  CHECK(cache.page_bytes(1) * 2 == cache.page_bytes(0));
}

TEST_CASE("a window bounds the memory and limits going back") {
  constexpr std::uint32_t kWindow = 10;
  KvCache cache = make({decl("full"), decl("window", kWindow)}, {4, 1, 1000});
  for (std::uint32_t n = 1; n <= 500; ++n) {
    REQUIRE(cache.reserve(0, n));
    cache.commit(0, n);
    const KvPages pages = cache.pages(1, 0);
    // The next query stands at n and must see n - 9 ... n - 1.
    const std::uint32_t oldest = n >= kWindow ? n - kWindow + 1 : 0;
    REQUIRE(pages.first_page * 4 <= oldest);
    REQUIRE((pages.first_page + 1) * 4 > oldest);
    REQUIRE(pages.pages.size() <= 4);
    REQUIRE(cache.pages(0, 0).first_page == 0);
  }
  CHECK(cache.allocated_bytes() <= cache.page_bytes(0) * 125 + cache.page_bytes(1) * 4);
  CHECK(cache.truncate(0, 499));
  const auto refused = cache.truncate(0, 480);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().to_string(), Contains("window of 10"));
  CHECK(cache.length(0) == 499);
  CHECK(cache.truncate(0, 0));
  CHECK(cache.reserve(0, 1000));
}

TEST_CASE("states live beside positions until the sequence is released") {
  KvCacheOptions options{8, 2, 16};
  options.max_states = 20;
  KvCache cache = make({decl("self"), {"cross", 2, 4, 0, true, Type::f32}}, options);
  CHECK(cache.states(0) == 0);
  const auto refused = cache.set_states(0, 21);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().to_string(), Contains("21 states") && Contains("room for 20"));
  REQUIRE(cache.set_states(0, 20));
  CHECK(cache.pages(1, 0).pages.size() == 3);
  CHECK(cache.pages(0, 0).pages.empty());
  REQUIRE(cache.reserve(0, 9));
  cache.commit(0, 9);
  CHECK(cache.pages(1, 0).pages.size() == 3);
  REQUIRE(cache.truncate(0, 0));
  CHECK(cache.states(0) == 20);
  REQUIRE(cache.set_states(0, 5));
  CHECK(cache.pages(1, 0).pages.size() == 1);
  cache.release(0);
  CHECK(cache.states(0) == 0);
  CHECK(cache.pages(1, 0).pages.empty());
}

TEST_CASE("a copy shares pages until either side writes") {
  KvCacheOptions options{4, 3, 48};
  options.max_states = 8;
  KvCache cache = make({decl("self"), {"cross", 2, 4, 0, true, Type::f32}}, options);
  REQUIRE(cache.set_states(0, 8));
  REQUIRE(cache.reserve(0, 6));
  cache.commit(0, 6);
  const auto mark = [&](SequenceId sequence, std::uint32_t position, std::uint64_t value) {
    std::memcpy(slot(cache.pages(0, sequence), position), &value, sizeof value);
  };
  const auto read = [&](SequenceId sequence, std::uint32_t position) {
    std::uint64_t value = 0;
    std::memcpy(&value, slot(cache.pages(0, sequence), position), sizeof value);
    return value;
  };
  for (std::uint32_t p = 0; p < 6; ++p) mark(0, p, 100 + p);
  const std::uint64_t before = cache.allocated_bytes();
  REQUIRE(cache.copy(0, 1));
  REQUIRE(cache.copy(0, 2));
  CHECK(cache.allocated_bytes() == before);
  CHECK(cache.length(1) == 6);
  CHECK(cache.states(2) == 8);
  CHECK(cache.pages(1, 1).pages[0] == cache.pages(1, 0).pages[0]);
  // Each goes its own way at position 6, which falls into the shared second page.
  for (SequenceId sequence = 0; sequence < 3; ++sequence) {
    REQUIRE(cache.reserve(sequence, 7));
    mark(sequence, 6, 1000 + sequence);
    cache.commit(sequence, 7);
  }
  for (SequenceId sequence = 0; sequence < 3; ++sequence) {
    for (std::uint32_t p = 0; p < 6; ++p) CHECK(read(sequence, p) == 100 + p);
    CHECK(read(sequence, 6) == 1000 + sequence);
  }
  CHECK(cache.pages(0, 0).pages[0] == cache.pages(0, 1).pages[0]);
  // What one gives back stays with the others.
  cache.release(0);
  CHECK(read(2, 3) == 103);
  REQUIRE(cache.truncate(1, 2));
  REQUIRE(cache.reserve(1, 3));
  mark(1, 2, 7);
  CHECK(read(1, 2) == 7);
  CHECK(read(2, 2) == 102);
  CHECK_FALSE(cache.copy(1, 3));
  // Onto itself, and over something that was held.
  REQUIRE(cache.copy(2, 2));
  REQUIRE(cache.copy(2, 1));
  CHECK(read(1, 6) == 1002);
}

TEST_CASE("bad declarations and options are refused") {
  const auto refused = [](CacheDecl wrong, KvCacheOptions options = {}) {
    return !KvCache::create(std::span(&wrong, 1), options);
  };
  CHECK_FALSE(refused(decl("fine")));
  CHECK(refused(decl("int8", 0, Type::q8_0)));
  CHECK(refused({"none", 0, 4, 0, false, Type::f32}));
  CHECK(refused({"huge", 0xffffffff, 0xffffffff, 0, false, Type::f32}));
  CHECK(refused(decl("a"), {0, 1, 8}));
  CHECK(refused(decl("a"), {8, 0, 8}));
  CHECK(refused(decl("a"), {8, 1, 0}));
}

// Random life of several sequences against a plain model of it: what was written is what is read,
// no two positions share bytes, and the count of positions is kept.
TEST_CASE("random operations agree with a plain model") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t limit) {
      return static_cast<std::uint32_t>(random() % limit);
    };
    const std::uint32_t window = 1 + below(12);
    const std::uint32_t page = 1 + below(7);
    constexpr std::uint32_t kSequences = 3;
    constexpr std::uint32_t kTotal = 90;
    KvCache cache =
        make({decl("full"), decl("window", window), decl("full2")}, {page, kSequences, kTotal});
    std::map<std::tuple<CacheId, SequenceId, std::uint32_t>, std::uint64_t> written;
    std::vector<std::uint32_t> lengths(kSequences, 0);
    const auto total = [&] { return lengths[0] + lengths[1] + lengths[2]; };
    for (int step = 0; step < 300; ++step) {
      const SequenceId s = below(kSequences);
      const std::uint32_t action = below(10);
      if (action == 0) {
        cache.release(s);
        lengths[s] = 0;
      } else if (action == 1 && lengths[s] > 0) {
        const std::uint32_t cut = below(lengths[s] + 1);
        if (cache.truncate(s, cut)) lengths[s] = cut;
      } else {
        const std::uint32_t wanted = lengths[s] + 1 + below(9);
        const bool fits = total() - lengths[s] + wanted <= kTotal;
        REQUIRE(cache.reserve(s, wanted).ok() == fits);
        if (!fits) continue;
        for (CacheId c = 0; c < 3; ++c) {
          for (std::uint32_t p = lengths[s]; p < wanted; ++p) {
            const std::uint64_t value = random();
            std::memcpy(slot(cache.pages(c, s), p), &value, sizeof value);
            written[{c, s, p}] = value;
          }
        }
        cache.commit(s, wanted);
        lengths[s] = wanted;
      }
      REQUIRE(cache.length(s) == lengths[s]);
    }
    for (CacheId c = 0; c < 3; ++c) {
      for (SequenceId s = 0; s < kSequences; ++s) {
        const std::uint32_t visible = c == 1 ? window - 1 : kTotal;
        for (std::uint32_t p = lengths[s] > visible ? lengths[s] - visible : 0; p < lengths[s];
             ++p) {
          std::uint64_t value = 0;
          std::memcpy(&value, slot(cache.pages(c, s), p), sizeof value);
          REQUIRE(value == written[{c, s, p}]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace apr
