#include "core/base/hash.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include "core/base/cat.h"
#include "core/base/sha256_blocks.h"

using namespace apr;

namespace {

std::vector<std::byte> random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

std::string first_word_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[256] = {};
  const bool read = std::fgets(buffer, sizeof buffer, pipe) != nullptr;
  ::pclose(pipe);
  const std::string line = read ? buffer : "";
  return line.substr(0, line.find_first_of(" \n"));
}

}  // namespace

TEST_CASE("SHA-256 gives the published digests") {
  // FIPS 180-4 examples and the vectors of NIST's CAVP.
  CHECK(sha256("").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").hex() ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(
      sha256("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmn"
             "opqrlmnopqrsmnopqrstnopqrstu")
          .hex() == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  CHECK(sha256(std::string(1'000'000, 'a')).hex() ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  const std::byte one[] = {std::byte{0xbd}};
  CHECK(sha256(one).hex() == "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b");
}

TEST_CASE("SHA-256 does not depend on how the bytes are cut") {
  const auto bytes = random_bytes(1000, 1);
  const Digest whole = sha256(bytes);
  for (std::size_t first = 0; first <= 200; ++first) {
    Sha256 hash;
    hash.update(std::span(bytes).first(first));
    hash.update(std::span(bytes).subspan(first, 63));
    hash.update(std::span(bytes).subspan(first + 63));
    REQUIRE(hash.finish() == whole);
  }
}

TEST_CASE("both SHA-256 compression functions agree") {
  const auto fast = sha256_detail::compress_with_instructions();
  if (fast == nullptr) {
    WARN("skipped: this processor has no SHA instructions");
    return;
  }
  for (std::size_t blocks : {1, 2, 3, 17}) {
    const auto bytes = random_bytes(64 * blocks, static_cast<unsigned>(blocks));
    std::array<std::uint32_t, 8> a{1, 2, 3, 4, 5, 6, 7, 0xffffffff};
    std::array<std::uint32_t, 8> b = a;
    fast(a.data(), bytes.data(), blocks);
    sha256_detail::compress_generic(b.data(), bytes.data(), blocks);
    CHECK(a == b);
  }
}

TEST_CASE("SHA-256 and CRC-32 agree with other programs") {
  namespace fs = std::filesystem;
  const fs::path file = fs::temp_directory_path() / cat("apr-hash-", std::random_device()());
  for (const std::size_t size : {0, 1, 55, 56, 63, 64, 65, 119, 4096, 1'000'003}) {
    const auto bytes = random_bytes(size, static_cast<unsigned>(size));
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(size));
    CHECK(first_word_of("sha256sum " + file.string()) == sha256(bytes).hex());
    const std::string python =
        "python3 -c 'import sys,zlib; print(zlib.crc32(open(sys.argv[1],\"rb\").read()))' " +
        file.string();
    CHECK(first_word_of(python) == cat(crc32(bytes)));
  }
  fs::remove(file);
}

TEST_CASE("CRC-32 gives the published check value and continues across cuts") {
  const std::string_view check = "123456789";
  const auto bytes = std::as_bytes(std::span(check.data(), check.size()));
  CHECK(crc32(bytes) == 0xCBF43926);
  CHECK(crc32({}) == 0);
  const auto random = random_bytes(300, 3);
  const std::uint32_t whole = crc32(random);
  for (std::size_t cut = 0; cut <= random.size(); ++cut) {
    const auto a = std::span(random).first(cut);
    const auto b = std::span(random).subspan(cut);
    REQUIRE(crc32(b, crc32(a)) == whole);
    REQUIRE(crc32_combine(crc32(a), crc32(b), b.size()) == whole);
  }
}

TEST_CASE("digests read their own hex form and nothing else") {
  const Digest digest = sha256("x");
  CHECK(Digest::from_hex(digest.hex()) == digest);
  std::string upper = digest.hex();
  std::ranges::transform(upper, upper.begin(),
                         [](char c) { return static_cast<char>(toupper(c)); });
  CHECK(Digest::from_hex(upper) == digest);
  CHECK_FALSE(Digest::from_hex("").has_value());
  CHECK_FALSE(Digest::from_hex(digest.hex() + "0").has_value());
  CHECK_FALSE(Digest::from_hex("g" + digest.hex().substr(1)).has_value());
}
