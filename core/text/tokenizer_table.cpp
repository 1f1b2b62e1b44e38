#include "core/text/tokenizer_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

#include "core/base/cat.h"
#include "core/base/checked.h"

namespace apr {

namespace {

static_assert(std::endian::native == std::endian::little, "tables are read in place");

constexpr std::string_view kMagic = "APRTOK01";
constexpr std::size_t kNumbers = 8;
constexpr std::size_t kSections = 6;
constexpr std::size_t kHeaderBytes = 8 + kNumbers * 4 + kSections * 16;
constexpr std::uint32_t kMaxProbes = 128;
constexpr std::uint32_t kFree = 0xFFFFFFFF;
constexpr std::uint32_t kSeeds = 8;  ///< tried for one size before it is doubled

template <typename Number>
Number load(std::span<const std::byte> bytes, std::size_t index) {
  Number value;
  std::memcpy(&value, bytes.data() + index * sizeof(Number), sizeof(Number));
  return value;
}

MergeRule load_rule(std::span<const std::byte> bytes, std::size_t index) {
  MergeRule rule;
  std::memcpy(&rule, bytes.data() + index * sizeof(MergeRule), sizeof(MergeRule));
  return rule;
}

/// The finalizer of MurmurHash3 (Appleby): every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 33)) * 0xFF51AFD7ED558CCDu;
  value = (value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53u;
  return value ^ (value >> 33);
}

std::uint64_t hash_text(std::string_view text, std::uint32_t seed) {
  std::uint64_t hash = mix(text.size() + (std::uint64_t{seed} << 32));
  while (!text.empty()) {
    std::uint64_t word = 0;
    const std::size_t size = text.size() < 8 ? text.size() : 8;
    std::memcpy(&word, text.data(), size);
    hash = mix(hash ^ word) + 0x9E3779B97F4A7C15u;
    text.remove_prefix(size);
  }
  return mix(hash);
}

std::uint64_t hash_pair(std::uint32_t left, std::uint32_t right, std::uint32_t seed) {
  return mix(((std::uint64_t{left} << 32) | right) ^ mix(seed));
}

/// A finished hash table: `slots` holds index + 1 of each entry, 0 for a free slot.
struct Slots {
  std::vector<std::uint32_t> slots;
  std::uint32_t seed = 0;
  std::uint32_t probes = 0;
};

/// Places `count` entries so that none lies more than kMaxProbes after its hashed slot.
template <typename Hash>
std::optional<Slots> place(std::uint32_t count, const Hash& hash) {
  std::uint64_t size = std::bit_ceil(std::uint64_t{count} + count / 2 + 16);
  for (int doubling = 0; doubling < 4; ++doubling, size *= 2) {
    for (std::uint32_t seed = 0; seed < kSeeds; ++seed) {
      Slots result{std::vector<std::uint32_t>(size), seed, 0};
      bool fits = true;
      for (std::uint32_t entry = 0; entry < count && fits; ++entry) {
        std::uint64_t slot = hash(entry, seed) & (size - 1);
        std::uint32_t probe = 0;
        while (result.slots[slot] != 0 && probe <= kMaxProbes) {
          slot = (slot + 1) & (size - 1);
          ++probe;
        }
        fits = probe <= kMaxProbes;
        if (!fits) break;
        result.slots[slot] = entry + 1;
        if (probe > result.probes) result.probes = probe;
      }
      if (fits) return result;
    }
  }
  return std::nullopt;
}

void put(std::vector<std::byte>& out, const void* data, std::size_t size) {
  if (size == 0) return;
  const auto* bytes = static_cast<const std::byte*>(data);
  out.insert(out.end(), bytes, bytes + size);
}

void patch_u64(std::vector<std::byte>& out, std::size_t at, std::uint64_t value) {
  std::memcpy(out.data() + at, &value, sizeof value);
}

Error damaged(std::string what, std::string_view file) {
  return make_error(ErrorCode::format, "the tokenizer table is damaged: " + std::move(what),
                    std::string(file), "import the model again");
}

}  // namespace

Result<std::vector<std::byte>> TokenizerTable::build(const TokenizerParts& parts,
                                                     std::string_view file) {
  const auto count = static_cast<std::uint32_t>(parts.tokens.size());
  std::vector<std::uint32_t> offsets{0};
  std::string text;
  std::vector<std::uint32_t> spelled;  // ids that exist
  offsets.reserve(count + 1);
  for (std::uint32_t id = 0; id < count; ++id) {
    if ((parts.flags[id] & token_flag::kPresent) != 0) spelled.push_back(id);
    text += parts.tokens[id];
    if (text.size() > 0x7FFFFFFF) {
      return make_error(ErrorCode::unsupported, "the vocabulary has more than 2 GiB of text",
                        std::string(file));
    }
    offsets.push_back(static_cast<std::uint32_t>(text.size()));
  }
  std::vector<MergeRule> rules = parts.merges;
  std::sort(rules.begin(), rules.end(), [](const MergeRule& a, const MergeRule& b) {
    return std::tuple(a.left, a.right, b.rank) < std::tuple(b.left, b.right, a.rank);
  });
  rules.erase(std::unique(rules.begin(), rules.end(),
                          [](const MergeRule& a, const MergeRule& b) {
                            return a.left == b.left && a.right == b.right;
                          }),
              rules.end());
  const auto token_slots = place(static_cast<std::uint32_t>(spelled.size()),
                                 [&](std::uint32_t entry, std::uint32_t seed) {
                                   return hash_text(parts.tokens[spelled[entry]], seed);
                                 });
  const auto merge_slots =
      place(static_cast<std::uint32_t>(rules.size()), [&](std::uint32_t entry, std::uint32_t seed) {
        return hash_pair(rules[entry].left, rules[entry].right, seed);
      });
  if (!token_slots || !merge_slots) {
    return make_error(ErrorCode::format,
                      cat(token_slots ? "merges are" : "the vocabulary is",
                          " made so that no table can index it"),
                      std::string(file), "the file is not an honest tokenizer");
  }

  std::vector<std::byte> out;
  put(out, kMagic.data(), kMagic.size());
  const std::uint32_t numbers[kNumbers] = {count,
                                           static_cast<std::uint32_t>(token_slots->slots.size()),
                                           token_slots->seed,
                                           token_slots->probes,
                                           static_cast<std::uint32_t>(rules.size()),
                                           static_cast<std::uint32_t>(merge_slots->slots.size()),
                                           merge_slots->seed,
                                           merge_slots->probes};
  put(out, numbers, sizeof numbers);
  out.resize(kHeaderBytes);
  std::size_t section = 0;
  const auto begin_section = [&] {
    while (out.size() % 8 != 0) out.push_back(std::byte{0});
    patch_u64(out, 8 + kNumbers * 4 + section * 16, out.size());
  };
  const auto end_section = [&] {
    const std::size_t at = 8 + kNumbers * 4 + section * 16;
    patch_u64(out, at + 8, out.size() - load<std::uint64_t>(std::span(out).subspan(at), 0));
    ++section;
  };
  const auto add_section = [&](const void* data, std::size_t size) {
    begin_section();
    put(out, data, size);
    end_section();
  };
  add_section(parts.settings.data(), parts.settings.size());
  add_section(offsets.data(), offsets.size() * sizeof(std::uint32_t));
  add_section(text.data(), text.size());
  add_section(parts.flags.data(), parts.flags.size());
  begin_section();
  for (const std::uint32_t slot : token_slots->slots) {
    const std::uint32_t stored = slot == 0 ? 0 : spelled[slot - 1] + 1;
    put(out, &stored, sizeof stored);
  }
  end_section();
  begin_section();
  for (const std::uint32_t slot : merge_slots->slots) {
    const MergeRule stored = slot == 0 ? MergeRule{kFree, 0, 0, 0} : rules[slot - 1];
    put(out, &stored, sizeof stored);
  }
  end_section();
  return out;
}

Result<TokenizerTable> TokenizerTable::open(std::span<const std::byte> bytes,
                                            std::string_view file) {
  if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    return damaged("it does not begin with \"APRTOK01\" and a header", file);
  }
  const auto number = [&](std::size_t index) {
    return load<std::uint32_t>(bytes.subspan(8), index);
  };
  TokenizerTable table;
  table.bytes_ = bytes;
  table.tokens_ = number(0);
  const std::uint32_t token_slots = number(1);
  table.token_seed_ = number(2);
  table.token_probes_ = number(3);
  table.merges_ = number(4);
  const std::uint32_t merge_slots = number(5);
  table.merge_seed_ = number(6);
  table.merge_probes_ = number(7);
  if (table.tokens_ > kMaxVocabulary || table.merges_ > kMaxMerges) {
    return damaged(cat(table.tokens_, " tokens or ", table.merges_, " merges are too many"), file);
  }
  if (!std::has_single_bit(token_slots) || !std::has_single_bit(merge_slots)) {
    return damaged("a hash table's size is not a power of two", file);
  }
  if (table.token_probes_ > kMaxProbes || table.merge_probes_ > kMaxProbes) {
    return damaged("a hash table is too crowded", file);
  }
  table.token_mask_ = token_slots - 1;
  table.merge_mask_ = merge_slots - 1;

  std::span<const std::byte> sections[kSections];
  constexpr std::string_view kNames[kSections] = {"settings", "offsets", "text",
                                                  "flags",    "ids",     "merges"};
  for (std::size_t i = 0; i < kSections; ++i) {
    const auto place = bytes.subspan(8 + kNumbers * 4 + i * 16, 16);
    const auto offset = load<std::uint64_t>(place, 0);
    const auto size = load<std::uint64_t>(place, 1);
    if (!range_fits(offset, size, bytes.size())) {
      return damaged(cat("its section \"", kNames[i], "\" lies outside of it"), file);
    }
    sections[i] = bytes.subspan(offset, size);
  }
  const auto wrong_size = [&](std::size_t i) {
    return damaged(cat("its section \"", kNames[i], "\" has ", sections[i].size(), " bytes"), file);
  };
  if (sections[1].size() != (std::uint64_t{table.tokens_} + 1) * 4) return wrong_size(1);
  if (sections[3].size() != table.tokens_) return wrong_size(3);
  if (sections[4].size() != std::uint64_t{token_slots} * 4) return wrong_size(4);
  if (sections[5].size() != std::uint64_t{merge_slots} * sizeof(MergeRule)) return wrong_size(5);
  const auto as_text = [](std::span<const std::byte> part) {
    return std::string_view(reinterpret_cast<const char*>(part.data()), part.size());
  };
  table.settings_ = as_text(sections[0]);
  table.offsets_ = sections[1];
  table.text_ = as_text(sections[2]);
  table.flags_ = sections[3];
  table.ids_ = sections[4];
  table.rules_ = sections[5];

  std::uint32_t previous = 0;
  for (std::uint32_t i = 0; i <= table.tokens_; ++i) {
    const auto offset = load<std::uint32_t>(table.offsets_, i);
    if (offset < previous || offset > table.text_.size() || offset - previous > kMaxTokenBytes) {
      return damaged(cat("the spelling of id ", i, " lies outside of the text"), file);
    }
    previous = offset;
  }
  const auto exists = [&](std::uint32_t id) {
    return id < table.tokens_ && (table.flags(id) & token_flag::kPresent) != 0;
  };
  for (std::uint32_t i = 0; i < token_slots; ++i) {
    const auto slot = load<std::uint32_t>(table.ids_, i);
    if (slot != 0 && !exists(slot - 1))
      return damaged(cat("id ", slot - 1, " does not exist"), file);
  }
  for (std::uint32_t i = 0; i < merge_slots; ++i) {
    const MergeRule rule = load_rule(table.rules_, i);
    if (rule.left == kFree) continue;
    if (!exists(rule.left) || !exists(rule.right) || !exists(rule.result)) {
      return damaged("a merge names an id that does not exist", file);
    }
    if (rule.rank >= kMaxMerges) return damaged("a merge has an impossible rank", file);
  }
  return table;
}

std::string_view TokenizerTable::token(std::uint32_t id) const {
  const auto begin = load<std::uint32_t>(offsets_, id);
  const auto end = load<std::uint32_t>(offsets_, id + 1);
  return text_.substr(begin, end - begin);
}

std::optional<std::uint32_t> TokenizerTable::find(std::string_view spelling) const {
  std::uint64_t slot = hash_text(spelling, token_seed_) & token_mask_;
  for (std::uint32_t probe = 0; probe <= token_probes_; ++probe) {
    const auto stored = load<std::uint32_t>(ids_, slot);
    if (stored == 0) return std::nullopt;
    if (token(stored - 1) == spelling) return stored - 1;
    slot = (slot + 1) & token_mask_;
  }
  return std::nullopt;
}

std::optional<MergeRule> TokenizerTable::merge(std::uint32_t left, std::uint32_t right) const {
  std::uint64_t slot = hash_pair(left, right, merge_seed_) & merge_mask_;
  for (std::uint32_t probe = 0; probe <= merge_probes_; ++probe) {
    const MergeRule rule = load_rule(rules_, slot);
    if (rule.left == kFree) return std::nullopt;
    if (rule.left == left && rule.right == right) return rule;
    slot = (slot + 1) & merge_mask_;
  }
  return std::nullopt;
}

}  // namespace apr
