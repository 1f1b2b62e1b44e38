// Page tables. Caches with the same window have the same pages at the same time, so they form a
// group with one table of page numbers per sequence; each cache of the group has its own memory
// behind a page number. Caches for cross-attention form a group of their own.
//
// A copy of a sequence has the same page numbers, which are counted. Pages before the end of a
// sequence are only read; the page that its next position falls into is copied before it is
// written, if somebody else has it too.
//
// A group with window w gives back a page once all its positions are out of sight of every later
// query: after commit(n) the next query stands at n and sees n - w + 1 and later.
#include "core/runtime/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/runtime/buffer.h"

namespace apr {

namespace {

constexpr std::uint32_t kMaxPagePositions = 1 << 16;
constexpr std::uint32_t kMaxSequences = 1 << 16;

std::uint32_t pages_for(std::uint32_t positions, std::uint32_t page_positions) {
  return positions / page_positions + (positions % page_positions != 0 ? 1 : 0);
}

/// Memory of one cache: a page per number, made when first needed and used again.
struct PageStore {
  std::uint64_t page_bytes = 0;
  std::vector<Buffer> pages;
};

/// One sequence's pages in a group: numbers[i] is the store's number of page first + i.
struct PageTable {
  std::uint32_t first = 0;
  std::vector<std::uint32_t> numbers;
};

struct Group {
  std::uint32_t window = 0;
  bool cross = false;
  std::vector<CacheId> caches;
  std::vector<std::uint32_t> free_numbers;
  std::vector<std::uint32_t> users;  ///< by number: how many tables have it
  std::vector<PageTable> tables;     ///< by sequence
};

}  // namespace

struct KvCache::State {
  std::vector<CacheDecl> decls;
  KvCacheOptions options;
  std::vector<PageStore> stores;  ///< by cache
  std::vector<Group> groups;
  std::vector<std::size_t> group_of;    ///< by cache
  std::vector<std::uint32_t> lengths;   ///< by sequence
  std::vector<std::uint32_t> reserved;  ///< by sequence; at least the length
  std::vector<std::uint32_t> states;    ///< by sequence
  std::uint64_t reserved_total = 0;
  /// Addresses of each cache's pages of each sequence, kept in step with the tables.
  std::vector<std::vector<std::vector<std::byte*>>> addresses;

  Status grow(Group& group, std::uint32_t count);
  std::uint32_t take(Group& group);
  void give_back(Group& group, std::uint32_t number);
  void assign(Group& group, SequenceId sequence, std::uint32_t pages);
  /// The place in its table of the page that position `length` falls into, if others have it too.
  std::optional<std::size_t> shared_page(const Group& group, SequenceId sequence) const;
  void own_page(Group& group, SequenceId sequence, std::size_t place);
  void drop_front(Group& group, SequenceId sequence, std::uint32_t first);
  void drop_back(Group& group, SequenceId sequence, std::uint32_t end);
  void set_reserved(SequenceId sequence, std::uint32_t positions) {
    reserved_total = reserved_total - reserved[sequence] + positions;
    reserved[sequence] = positions;
  }
};

/// Makes sure that `count` numbers are free.
Status KvCache::State::grow(Group& group, std::uint32_t count) {
  while (group.free_numbers.size() < count) {
    for (const CacheId cache : group.caches) {
      PageStore& store = stores[cache];
      if (store.pages.size() > group.users.size()) continue;  // left over from a failed attempt
      APR_ASSIGN(Buffer page, Buffer::create(store.page_bytes, "keys and values"));
      store.pages.push_back(std::move(page));
    }
    group.free_numbers.push_back(static_cast<std::uint32_t>(group.users.size()));
    group.users.push_back(0);
  }
  return {};
}

/// A free number, of which there is one.
std::uint32_t KvCache::State::take(Group& group) {
  const std::uint32_t number = group.free_numbers.back();
  group.free_numbers.pop_back();
  group.users[number] = 1;
  return number;
}

void KvCache::State::give_back(Group& group, std::uint32_t number) {
  if (--group.users[number] == 0) group.free_numbers.push_back(number);
}

std::optional<std::size_t> KvCache::State::shared_page(const Group& group,
                                                       SequenceId sequence) const {
  const PageTable& table = group.tables[sequence];
  const std::uint32_t page = lengths[sequence] / options.page_positions;
  if (page < table.first || page - table.first >= table.numbers.size()) return std::nullopt;
  const std::size_t place = page - table.first;
  return group.users[table.numbers[place]] > 1 ? std::optional(place) : std::nullopt;
}

/// Replaces a shared page by a copy; there is a free number.
void KvCache::State::own_page(Group& group, SequenceId sequence, std::size_t place) {
  std::uint32_t& number = group.tables[sequence].numbers[place];
  const std::uint32_t copy = take(group);
  for (const CacheId cache : group.caches) {
    PageStore& store = stores[cache];
    std::memcpy(store.pages[copy].data(), store.pages[number].data(),
                static_cast<std::size_t>(store.page_bytes));
    addresses[cache][sequence][place] = store.pages[copy].data();
  }
  give_back(group, number);
  number = copy;
}

/// Appends pages until the table covers `pages`; the numbers are there.
void KvCache::State::assign(Group& group, SequenceId sequence, std::uint32_t pages) {
  PageTable& table = group.tables[sequence];
  while (table.first + table.numbers.size() < pages) {
    const std::uint32_t number = take(group);
    table.numbers.push_back(number);
    for (const CacheId cache : group.caches) {
      addresses[cache][sequence].push_back(stores[cache].pages[number].data());
    }
  }
}

void KvCache::State::drop_front(Group& group, SequenceId sequence, std::uint32_t first) {
  PageTable& table = group.tables[sequence];
  if (first <= table.first) return;
  const auto count = std::min<std::size_t>(first - table.first, table.numbers.size());
  const auto end = static_cast<std::ptrdiff_t>(count);
  for (std::size_t i = 0; i < count; ++i) give_back(group, table.numbers[i]);
  table.numbers.erase(table.numbers.begin(), table.numbers.begin() + end);
  for (const CacheId cache : group.caches) {
    auto& pointers = addresses[cache][sequence];
    pointers.erase(pointers.begin(), pointers.begin() + end);
  }
  table.first += static_cast<std::uint32_t>(count);
}

/// Drops pages from number `end` on.
void KvCache::State::drop_back(Group& group, SequenceId sequence, std::uint32_t end) {
  PageTable& table = group.tables[sequence];
  while (!table.numbers.empty() && table.first + table.numbers.size() > end) {
    give_back(group, table.numbers.back());
    table.numbers.pop_back();
    for (const CacheId cache : group.caches) addresses[cache][sequence].pop_back();
  }
}

KvCache::KvCache() : state_(std::make_unique<State>()) {}
KvCache::KvCache(KvCache&&) noexcept = default;
KvCache& KvCache::operator=(KvCache&&) noexcept = default;
KvCache::~KvCache() = default;

Result<KvCache> KvCache::create(std::span<const CacheDecl> decls, const KvCacheOptions& options) {
  const auto refuse = [](std::string message) {
    return make_error(ErrorCode::usage, std::move(message), "KV cache");
  };
  if (options.page_positions < 1 || options.page_positions > kMaxPagePositions) {
    return refuse(cat("pages of ", options.page_positions, " positions are not within 1 ... ",
                      kMaxPagePositions));
  }
  if (options.max_sequences < 1 || options.max_sequences > kMaxSequences) {
    return refuse(
        cat("max_sequences ", options.max_sequences, " is not within 1 ... ", kMaxSequences));
  }
  if (options.max_positions < 1) return refuse("there is no room for any position");

  KvCache cache;
  State& state = *cache.state_;
  state.decls.assign(decls.begin(), decls.end());
  state.options = options;
  state.lengths.assign(options.max_sequences, 0);
  state.reserved.assign(options.max_sequences, 0);
  state.states.assign(options.max_sequences, 0);
  for (CacheId id = 0; id < decls.size(); ++id) {
    const CacheDecl& decl = decls[id];
    if (decl.element != Type::f32 && decl.element != Type::f16) {
      return make_error(ErrorCode::unsupported,
                        cat("elements of type ", name_of(decl.element), " cannot be held"),
                        cat("KV cache ", decl.name), "f32 and f16 can be");
    }
    const auto row = checked_mul(decl.num_key_value_heads, decl.head_dim);
    const auto page = row ? checked_mul(*row, std::uint64_t{options.page_positions} * 2 *
                                                  traits(decl.element).block_bytes)
                          : std::nullopt;
    if (!page || *page == 0) {
      return make_error(
          ErrorCode::load,
          cat(decl.num_key_value_heads, " heads of ", decl.head_dim, " features cannot be held"),
          cat("KV cache ", decl.name));
    }
    state.stores.push_back({*page, {}});
    auto group = std::find_if(state.groups.begin(), state.groups.end(), [&](const Group& g) {
      return g.window == decl.window && g.cross == decl.cross;
    });
    if (group == state.groups.end()) {
      state.groups.push_back(
          {decl.window, decl.cross, {}, {}, {}, std::vector<PageTable>(options.max_sequences)});
      group = std::prev(state.groups.end());
    }
    group->caches.push_back(id);
    state.group_of.push_back(static_cast<std::size_t>(group - state.groups.begin()));
    state.addresses.emplace_back(options.max_sequences);
  }
  return cache;
}

std::span<const CacheDecl> KvCache::decls() const {
  return state_->decls;
}
const KvCacheOptions& KvCache::options() const {
  return state_->options;
}

std::uint32_t KvCache::length(SequenceId sequence) const {
  return sequence < state_->lengths.size() ? state_->lengths[sequence] : 0;
}

Status KvCache::reserve(SequenceId sequence, std::uint32_t new_length) {
  State& state = *state_;
  if (sequence >= state.lengths.size()) {
    return make_error(ErrorCode::inference,
                      cat("sequence ", sequence, " is not one of the ", state.lengths.size(),
                          " there is room for"),
                      "KV cache");
  }
  const std::uint32_t held = state.reserved[sequence];
  if (new_length <= state.lengths[sequence]) return {};
  const std::uint64_t free = state.options.max_positions - state.reserved_total;
  if (new_length > held && new_length - held > free) {
    return make_error(
        ErrorCode::inference,
        cat("sequence ", sequence, " needs room for ", new_length - held, " more positions, and ",
            free, " of ", state.options.max_positions, " are free"),
        "KV cache", "use a larger context, or release a sequence");
  }
  const std::uint32_t pages = pages_for(new_length, state.options.page_positions);
  const auto missing = [&](const Group& group) {
    const PageTable& table = group.tables[sequence];
    const auto end = table.first + static_cast<std::uint32_t>(table.numbers.size());
    return (pages > end ? pages - end : 0) + (state.shared_page(group, sequence) ? 1U : 0U);
  };
  for (Group& group : state.groups) {
    if (!group.cross) APR_TRY(state.grow(group, missing(group)));
  }
  for (Group& group : state.groups) {
    if (group.cross) continue;
    if (const auto place = state.shared_page(group, sequence)) {
      state.own_page(group, sequence, *place);
    }
    state.assign(group, sequence, pages);
  }
  state.set_reserved(sequence, std::max(held, new_length));
  return {};
}

void KvCache::commit(SequenceId sequence, std::uint32_t new_length) {
  State& state = *state_;
  if (sequence >= state.lengths.size()) return;
  const std::uint32_t length = std::min(new_length, state.reserved[sequence]);
  state.lengths[sequence] = std::max(state.lengths[sequence], length);
  for (Group& group : state.groups) {
    if (group.cross || group.window == 0 || length < group.window) continue;
    state.drop_front(group, sequence, (length - group.window + 1) / state.options.page_positions);
  }
}

Status KvCache::truncate(SequenceId sequence, std::uint32_t new_length) {
  State& state = *state_;
  if (sequence >= state.lengths.size() || new_length > state.lengths[sequence]) {
    return make_error(ErrorCode::inference,
                      cat("sequence ", sequence, " holds ", length(sequence),
                          " positions and cannot be cut to ", new_length),
                      "KV cache");
  }
  for (const Group& group : state.groups) {
    if (group.cross || new_length == 0) continue;
    const std::uint32_t needed =
        group.window == 0 || new_length < group.window ? 0 : new_length - group.window + 1;
    const std::uint32_t kept = group.tables[sequence].first * state.options.page_positions;
    if (needed < kept) {
      return make_error(
          ErrorCode::inference,
          cat("sequence ", sequence, " cannot go back to ", new_length, " positions: a window of ",
              group.window, " has given back those before ", kept),
          "KV cache", "release the sequence and start again");
    }
  }
  const std::uint32_t pages = pages_for(new_length, state.options.page_positions);
  for (Group& group : state.groups) {
    if (group.cross) continue;
    state.drop_back(group, sequence, pages);
    if (new_length == 0) group.tables[sequence].first = 0;
  }
  state.lengths[sequence] = new_length;
  state.set_reserved(sequence, new_length);
  return {};
}

void KvCache::release(SequenceId sequence) {
  State& state = *state_;
  if (sequence >= state.lengths.size()) return;
  for (Group& group : state.groups) {
    state.drop_back(group, sequence, 0);
    group.tables[sequence].first = 0;
  }
  state.lengths[sequence] = 0;
  state.states[sequence] = 0;
  state.set_reserved(sequence, 0);
}

std::uint32_t KvCache::states(SequenceId sequence) const {
  return sequence < state_->states.size() ? state_->states[sequence] : 0;
}

Status KvCache::set_states(SequenceId sequence, std::uint64_t states) {
  State& state = *state_;
  if (sequence >= state.states.size() || states > state.options.max_states ||
      states > std::numeric_limits<std::uint32_t>::max()) {
    return make_error(
        ErrorCode::inference,
        cat("sequence ", sequence, " cannot hold ", states, " states; there is room ", "for ",
            state.options.max_states, " in each of ", state.states.size(), " sequences"),
        "KV cache");
  }
  state.states[sequence] = 0;
  const auto count = static_cast<std::uint32_t>(states);
  const std::uint32_t pages = pages_for(count, state.options.page_positions);
  for (Group& group : state.groups) {
    if (!group.cross) continue;
    state.drop_back(group, sequence, 0);
    APR_TRY(state.grow(group, pages));
    state.assign(group, sequence, pages);
  }
  state.states[sequence] = count;
  return {};
}

Status KvCache::copy(SequenceId from, SequenceId to) {
  State& state = *state_;
  if (from >= state.lengths.size() || to >= state.lengths.size()) {
    return make_error(ErrorCode::inference,
                      cat("sequence ", std::max(from, to), " is not one of the ",
                          state.lengths.size(), " there is room for"),
                      "KV cache");
  }
  if (from == to) return {};
  const std::uint64_t free =
      state.options.max_positions - state.reserved_total + state.reserved[to];
  if (state.lengths[from] > free) {
    return make_error(
        ErrorCode::inference,
        cat("a copy of sequence ", from, " needs room for ", state.lengths[from],
            " positions, and ", free, " of ", state.options.max_positions, " are free"),
        "KV cache", "use a larger context, or release a sequence");
  }
  release(to);
  const std::uint32_t pages = pages_for(state.lengths[from], state.options.page_positions);
  for (Group& group : state.groups) {
    PageTable& table = group.tables[to];
    table = group.tables[from];
    for (const std::uint32_t number : table.numbers) ++group.users[number];
    for (const CacheId cache : group.caches) {
      state.addresses[cache][to] = state.addresses[cache][from];
    }
    if (!group.cross) state.drop_back(group, to, pages);
  }
  state.lengths[to] = state.lengths[from];
  state.states[to] = state.states[from];
  state.set_reserved(to, state.lengths[from]);
  return {};
}

KvPages KvCache::pages(CacheId cache, SequenceId sequence) const {
  const State& state = *state_;
  const PageTable& table = state.groups[state.group_of[cache]].tables[sequence];
  return {state.options.page_positions, table.first, state.addresses[cache][sequence]};
}

std::uint64_t KvCache::page_bytes(CacheId cache) const {
  return state_->stores[cache].page_bytes;
}

std::uint64_t KvCache::allocated_bytes() const {
  std::uint64_t bytes = 0;
  for (const PageStore& store : state_->stores) bytes += store.page_bytes * store.pages.size();
  return bytes;
}

}  // namespace apr
