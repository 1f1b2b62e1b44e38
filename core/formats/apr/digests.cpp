#include "core/formats/apr/digests.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/base/cat.h"
#include "core/formats/bytes.h"

namespace apr {

namespace {

constexpr std::byte kLeafMark{0};
constexpr std::byte kNodeMark{1};
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kFixedDigests = 6;

Digest node(const Digest& left, const Digest& right) {
  Sha256 hash;
  hash.update(std::span(&kNodeMark, 1));
  hash.update(left.bytes);
  hash.update(right.bytes);
  return hash.finish();
}

Sha256 new_leaf() {
  Sha256 hash;
  hash.update(std::span(&kLeafMark, 1));
  return hash;
}

}  // namespace

TreeHash::TreeHash() : leaf_(new_leaf()) {}

void TreeHash::update(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (leaf_size_ == kTreeLeafBytes) close_leaf();
    const std::size_t taken = std::min(bytes.size(), kTreeLeafBytes - leaf_size_);
    leaf_.update(bytes.first(taken));
    leaf_size_ += taken;
    bytes = bytes.subspan(taken);
  }
}

void TreeHash::close_leaf() {
  Digest head = leaf_.finish();
  leaf_ = new_leaf();
  leaf_size_ = 0;
  ++leaves_;
  // Like a binary counter: two full subtrees of one size become one of the next.
  for (std::uint64_t bits = leaves_; (bits & 1) == 0; bits >>= 1) {
    head = node(pending_.back(), head);
    pending_.pop_back();
  }
  pending_.push_back(head);
}

Digest TreeHash::finish() {
  if (leaf_size_ > 0) close_leaf();
  if (pending_.empty()) return sha256(std::string_view());
  Digest head = pending_.back();
  for (std::size_t i = pending_.size() - 1; i > 0; --i) head = node(pending_[i - 1], head);
  return head;
}

Digest tree_hash(std::span<const std::byte> bytes) {
  TreeHash hash;
  hash.update(bytes);
  return hash.finish();
}

Digest AprDigests::content_root() const {
  std::string list = "apr content root 1\n";
  const auto line = [&](std::string_view name, const Digest& digest) {
    list += cat(name, " ", digest.hex(), "\n");
  };
  line("header", header);
  line("metadata", metadata);
  line("index", index);
  line("files", files);
  line("tokenizer", tokenizer);
  line("lineage", lineage);
  list += cat("tensors ", tensors.size(), "\n");
  for (const Digest& tensor : tensors) list += cat(tensor.hex(), "\n");
  return sha256(list);
}

std::vector<std::byte> AprDigests::encode() const {
  std::vector<std::byte> out;
  append_number(out, static_cast<std::uint32_t>(kTreeLeafBytes));
  append_number(out, static_cast<std::uint32_t>(tensors.size()));
  for (const Digest& digest : {header, metadata, index, files, tokenizer, lineage}) {
    append_bytes(out, digest.bytes);
  }
  for (const Digest& tensor : tensors) append_bytes(out, tensor.bytes);
  append_bytes(out, content_root().bytes);
  return out;
}

Result<AprDigests> AprDigests::decode(std::span<const std::byte> bytes,
                                      std::uint64_t tensor_count) {
  const auto bad = [](std::string_view message) {
    return make_error(ErrorCode::format, cat("the DIGESTS section ", message));
  };
  ByteReader reader(bytes);
  const auto leaf = reader.number<std::uint32_t>();
  const auto count = reader.number<std::uint32_t>();
  if (!leaf || !count) return bad("is cut short");
  if (*leaf != kTreeLeafBytes) return bad("uses another leaf length");
  if (*count != tensor_count) return bad("counts other tensors than the index");
  if (reader.remaining() / kDigestBytes != kFixedDigests + tensor_count + 1 ||
      reader.remaining() % kDigestBytes != 0) {
    return bad("has the wrong size");
  }
  const auto next = [&] {
    Digest digest;
    std::ranges::copy(*reader.take(kDigestBytes), digest.bytes.begin());
    return digest;
  };
  AprDigests digests;
  for (Digest* digest : {&digests.header, &digests.metadata, &digests.index, &digests.files,
                         &digests.tokenizer, &digests.lineage}) {
    *digest = next();
  }
  digests.tensors.reserve(static_cast<std::size_t>(tensor_count));
  for (std::uint64_t i = 0; i < tensor_count; ++i) digests.tensors.push_back(next());
  if (next() != digests.content_root()) return bad("holds a content root that is not its own");
  return digests;
}

}  // namespace apr
