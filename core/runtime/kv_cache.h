// KvCache: keys and values of running sequences, in pages.
//
// Every cache declared by the graph has the same page table per sequence, except that caches with a
// window give back pages that no query can see any more. A page holds `page_positions` positions of
// one cache: keys as [num_key_value_heads][page_positions][head_dim], then values likewise.
//
// Caches for cross-attention hold the states that an encoder made of a sequence's frames: filled by
// one step, read by all that follow. Copies of a sequence share pages until one of them writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/graph/graph.h"
#include "core/runtime/batch.h"

namespace apr {

struct KvCacheOptions {
  std::uint32_t page_positions = 32;
  std::uint32_t max_sequences = 1;
  /// Positions that all sequences together may hold; pages are allocated when first needed.
  std::uint64_t max_positions = 4096;
  /// States that one sequence may hold in the caches for cross-attention.
  std::uint64_t max_states = 0;
};

/// Keys and values of one sequence in one cache. Position p lies in page(p / page_positions).
struct KvPages {
  std::uint32_t page_positions = 0;
  std::uint32_t first_page = 0;       ///< pages below this were given back
  std::span<std::byte* const> pages;  ///< pages[i] is page first_page + i
};

class APR_API KvCache {
 public:
  static Result<KvCache> create(std::span<const CacheDecl> decls, const KvCacheOptions& options);
  KvCache(KvCache&&) noexcept;
  KvCache& operator=(KvCache&&) noexcept;
  ~KvCache();

  std::span<const CacheDecl> decls() const;
  const KvCacheOptions& options() const;

  /// Number of positions a sequence holds.
  std::uint32_t length(SequenceId sequence) const;
  /// Makes room for positions [length, new_length) in every cache, or changes nothing and says how
  /// many positions are free. The length itself grows in commit().
  Status reserve(SequenceId sequence, std::uint32_t new_length);
  /// Positions up to new_length have been written; pages outside a window are given back.
  void commit(SequenceId sequence, std::uint32_t new_length);
  /// Forgets the positions from new_length on; the states stay. Going back behind what a window has
  /// given back is an error; release() and prefill instead.
  Status truncate(SequenceId sequence, std::uint32_t new_length);
  /// Forgets everything, the states too.
  void release(SequenceId sequence);

  /// Number of states that a sequence holds in the caches for cross-attention.
  std::uint32_t states(SequenceId sequence) const;
  /// Makes room for so many states, whose keys and values the step writes, in place of those it
  /// held. On an error it holds none.
  Status set_states(SequenceId sequence, std::uint64_t states);
  /// Makes `to` hold what `from` holds. Pages are shared; the one that grows next is copied by the
  /// next reserve() of either.
  Status copy(SequenceId from, SequenceId to);

  KvPages pages(CacheId cache, SequenceId sequence) const;
  /// Bytes of one page of a cache; values start at half of it.
  std::uint64_t page_bytes(CacheId cache) const;
  std::uint64_t allocated_bytes() const;

 private:
  KvCache();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace apr
