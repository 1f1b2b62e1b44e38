// Digests, sections and metadata of .apr, each on its own.
#include <catch2/catch.hpp>

#include "core/base/cat.h"
#include "core/formats/apr/digests.h"
#include "core/formats/apr/metadata.h"
#include "core/formats/apr/sections.h"
#include "core/formats/apr/table.h"
#include "core/formats/bytes.h"
#include "core/formats/tensor_name.h"
#include "tests/unit/formats/image.h"

using namespace apr;
using Catch::Matchers::Contains;

namespace {

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 131 >> 3);
  return bytes;
}

Digest hash_of(std::string_view mark, std::initializer_list<std::span<const std::byte>> parts) {
  Sha256 hash;
  hash.update(mark);
  for (const auto part : parts) hash.update(part);
  return hash.finish();
}

/// RFC 6962 section 2.1, as it is written there.
Digest tree_by_definition(std::span<const std::byte> bytes) {
  const std::size_t leaves = (bytes.size() + kTreeLeafBytes - 1) / kTreeLeafBytes;
  if (leaves == 0) return sha256("");
  if (leaves == 1) return hash_of(std::string_view("\0", 1), {bytes});
  std::size_t split = 1;
  while (split * 2 < leaves) split *= 2;
  const Digest left = tree_by_definition(bytes.first(split * kTreeLeafBytes));
  const Digest right = tree_by_definition(bytes.subspan(split * kTreeLeafBytes));
  return hash_of("\1", {left.bytes, right.bytes});
}

}  // namespace

TEST_CASE("tree hashes follow their definition, however the bytes come") {
  for (const std::size_t leaves : {0, 1, 2, 3, 4, 5, 6, 7, 8, 11}) {
    for (const int extra : {-1, 0, 1}) {
      const auto size = static_cast<std::int64_t>(leaves * kTreeLeafBytes) + extra;
      if (size < 0) continue;
      const auto bytes = pattern(static_cast<std::size_t>(size));
      const Digest expected = tree_by_definition(bytes);
      REQUIRE(tree_hash(bytes) == expected);
      TreeHash pieces;
      for (std::size_t at = 0; at < bytes.size(); at += 700'001) {
        pieces.update(
            std::span(bytes).subspan(at, std::min<std::size_t>(700'001, bytes.size() - at)));
      }
      REQUIRE(pieces.finish() == expected);
    }
  }
  // A leaf is never taken for a node.
  CHECK(tree_hash(as_bytes("x")) != sha256("x"));
}

TEST_CASE("the DIGESTS section reads back and refuses what is not its own") {
  AprDigests digests;
  digests.header = sha256("h");
  digests.lineage = sha256("l");
  digests.tensors = {sha256("1"), sha256("2")};
  const auto bytes = digests.encode();
  const auto again = AprDigests::decode(bytes, 2);
  REQUIRE(again.ok());
  CHECK(again->content_root() == digests.content_root());
  CHECK(again->tensors == digests.tensors);
  CHECK_FALSE(AprDigests::decode(bytes, 3).ok());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK_FALSE(AprDigests::decode(std::span(bytes).first(size), 2).ok());
  }
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto changed = bytes;
    changed[at] ^= std::byte{1};
    CHECK_FALSE(AprDigests::decode(changed, 2).ok());
  }
  AprDigests swapped = digests;
  std::swap(swapped.tensors[0], swapped.tensors[1]);
  CHECK(swapped.content_root() != digests.content_root());
}

TEST_CASE("the FILES section reads back and refuses what is not its own") {
  const AprFiles files = {{"a", ""}, {"b.json", "{}"}, {"c", std::string(300, '\0')}};
  const auto bytes = encode_apr_files(files);
  CHECK(*decode_apr_files(bytes) == files);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK_FALSE(decode_apr_files(std::span(bytes).first(size)).ok());
  }
  const auto one = [](std::string_view name, std::uint64_t size) {
    const std::string text = test::le(std::uint32_t{1}) +
                             test::le(static_cast<std::uint32_t>(name.size())) + test::le(size) +
                             std::string(name);
    return decode_apr_files(as_bytes(text));
  };
  CHECK(one("ok", 0).ok());
  CHECK(one("1_Pooling/config.json", 0).ok());
  for (const char* name : {"", "..", ".", "../x", "a/..", "a/.", "./a", "a/", "/", "a/b/c", "a//b",
                           "/etc/passwd", "a\\b", "a/b:c", "c:d", "a\nb", "\xff"}) {
    CHECK_FALSE(one(name, 0).ok());
  }
  CHECK_FALSE(one("a", 1).ok());
  CHECK_FALSE(one("a", ~std::uint64_t{0}).ok());
  const auto twice = test::le(std::uint32_t{2}) + test::le(std::uint32_t{1}) +
                     test::le(std::uint64_t{0}) + "a" + test::le(std::uint32_t{1}) +
                     test::le(std::uint64_t{0}) + "a";
  CHECK_FALSE(decode_apr_files(as_bytes(twice)).ok());
  const auto many = test::le(std::uint32_t{0xffffffff});
  CHECK_FALSE(decode_apr_files(as_bytes(many)).ok());
}

TEST_CASE("the section directory reads back; strange slots lose it") {
  AprHeader header;
  header.extension = true;
  header.directory_offset = 128;
  header.directory_size = 1024;
  std::vector<AprSection> sections = {
      {1, 1, 1152, 10, sha256("a")}, {77, 3, 1216, 64, sha256("b")}, {3, 2, 1280, 1, sha256("c")}};
  const auto read = [&] {
    std::string file(128, '\0');
    file += as_text(encode_apr_directory(sections));
    file.resize(1344 + 4);
    return read_apr_sections(as_bytes(file), header, 100);
  };
  const AprSections found = read();
  REQUIRE(found.state == AprSections::State::sound);
  REQUIRE(found.directory.size() == 3);
  CHECK(found.directory[1].type == 77);  // unknown, listed
  CHECK(name_of_section(77) == "section 77");
  CHECK(found.find(AprSectionType::files)->digest == sha256("a"));
  CHECK(found.find(AprSectionType::digests) == nullptr);  // of a version this build does not know
  SECTION("overlapping") {
    sections[1].offset = 1152;
  }
  SECTION("misaligned") {
    sections[1].offset = 1217;
  }
  SECTION("in the footer") {
    sections[2].size = 65;
  }
  SECTION("size that wraps") {
    sections[2].size = ~std::uint64_t{0} - 64;
  }
  SECTION("over the directory") {
    sections[0].offset = 64;
  }
  SECTION("twice") {
    sections[1].type = 1;
  }
  SECTION("no type") {
    sections[1].type = 0;
  }
  CHECK(read().state == AprSections::State::lost);
}

TEST_CASE("aliases of metadata keys become the canonical ones") {
  const Json metadata =
      *parse_json(R"({"n_embd":1,"num_hidden_layers":2,"num_heads":null,"n_head":3,
                                        "layer_norm_eps":0.5,"vocab_size":7,"n_vocab":8,"other":1})");
  const Json canonical = canonical_apr_metadata(metadata);
  CHECK(canonical["hidden_size"].as_integer() == 1);
  CHECK(canonical["num_layers"].as_integer() == 2);
  CHECK(canonical["num_heads"].as_integer() == 3);
  CHECK(canonical["rms_norm_eps"].as_number() == 0.5);
  CHECK(canonical["vocab_size"].as_integer() == 7);
  CHECK(canonical["other"].as_integer() == 1);
  for (const char* gone : {"n_embd", "num_hidden_layers", "n_head", "layer_norm_eps", "n_vocab"}) {
    CHECK_FALSE(canonical.contains(gone));
  }
  // Written metadata is a fixed point.
  const std::string text = write_apr_metadata(metadata);
  CHECK(write_apr_metadata(*parse_json(text)) == text);
}

TEST_CASE("a config can be made of upstream's metadata") {
  const Json config = config_from_apr_metadata(*parse_json(
      R"({"model_type":"m","hf_model_type":"qwen2","hf_architecture":"Qwen2ForCausalLM","hidden_size":8,
          "num_layers":2,"num_kv_heads":null,"rope_theta":1e6,"tied_embeddings":true})"));
  CHECK(config.dump() ==
        R"({"model_type":"qwen2","architectures":["Qwen2ForCausalLM"],"hidden_size":8,)"
        R"("num_hidden_layers":2,"rope_theta":1e+06,"tie_word_embeddings":true})");
}

TEST_CASE("names are made printable for messages") {
  CHECK(printable_name("a.b") == "a.b");
  CHECK(printable_name("a\n\x1b[31m\xff") == "a??[31m?");
  CHECK(printable_name(std::string(100, 'x')).size() == 80 + 3);
  CHECK(tensor_name_problem("\xC3\xA9").empty());
}
