// The .apr reader on sound files of other writers, and on everything that can be wrong with one.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "core/base/cat.h"
#include "core/formats/apr/classical.h"
#include "core/formats/apr/table.h"
#include "tests/unit/formats/image.h"

using namespace apr;
using Catch::Matchers::Contains;
using test::Entry;
using test::Image;

namespace {

constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

Result<AprTable> read(const std::string& bytes) {
  return read_apr_table(as_bytes(bytes), "m.apr");
}

void refused(const Image& image, std::string_view expected, ErrorCode code = ErrorCode::format) {
  const auto table = read(image.bytes());
  INFO(expected);
  REQUIRE_FALSE(table.ok());
  CHECK_THAT(table.error().to_string(), Contains(std::string(expected)) && Contains("m.apr"));
  CHECK(table.error().code == code);
}

std::string fixture(const std::string& name) {
  const auto path = std::filesystem::path(APR_SHARED_DATA) / "apr-fixtures" / name;
  if (!std::filesystem::exists(path)) {
    WARN("skipped: " << path << " is not there");
    return {};
  }
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("a sound image is read") {
  const auto table = read(Image{}.bytes());
  REQUIRE(table.ok());
  CHECK(table->tensors.size() == 2);
  CHECK(table->tensors[1].name == "b");
  CHECK(table->tensors[1].offset == 64 + 64 + 64 + 64 + 64);
  CHECK(table->header.crc_present);
  CHECK(table->sections.state == AprSections::State::absent);
  Image plain;
  plain.footer = false;
  plain.zero_crc = true;
  const auto bare = read(plain.bytes());
  REQUIRE(bare.ok());
  CHECK_FALSE(bare->header.crc_present);
}

TEST_CASE("upstream's golden files are read in both spellings") {
  for (const char* name :
       {"reconstructed_golden_v2_current.apr", "reconstructed_golden_v2_nulls.apr"}) {
    const std::string bytes = fixture(name);
    if (bytes.empty()) return;
    const auto table = read(bytes);
    REQUIRE(table.ok());
    REQUIRE(table->tensors.size() == 2);
    CHECK(table->tensors[0].name == "bias");
    CHECK(table->tensors[1].name == "weights");
    CHECK(table->tensors[1].shape == Shape{8});
    float value = 0;
    std::memcpy(&value, bytes.data() + table->tensors[0].offset, 4);
    CHECK(value == 0.125f);
    std::memcpy(&value, bytes.data() + table->tensors[1].offset + 7 * 4, 4);
    CHECK(value == 8.0f);
    CHECK(table->metadata["model_type"].as_string() == "linear_regression");
    CHECK(table->metadata["param_count"].as_integer() == 8);
    CHECK(table->metadata["created_at"].as_string() == "1700000000");
  }
}

TEST_CASE("classical v1 files are named for what they are") {
  const std::string bytes = fixture("mnist_784x2.apr");
  if (bytes.empty()) return;
  const auto header = read_classical_header(as_bytes(bytes), "m.apr");
  REQUIRE(header.ok());
  CHECK(header->model_type == 2);
  CHECK(header->model_type_name == "LogisticRegression");
  CHECK(header->metadata_size == 47);
  CHECK(header->payload_size == 3165);
  CHECK(header->compression_name == "none");
  CHECK(header->crc_matches);
  const auto table = read(bytes);
  REQUIRE_FALSE(table.ok());
  CHECK(table.error().code == ErrorCode::unsupported);
  CHECK_THAT(table.error().to_string(), Contains("classical v1 model (LogisticRegression"));
  for (std::size_t size = 4; size < bytes.size(); ++size) {
    const std::string cut = bytes.substr(0, size);
    CHECK_FALSE(read_classical_header(as_bytes(cut), "m.apr").ok());
  }
  std::string flipped = bytes;
  flipped[1000] = static_cast<char>(flipped[1000] ^ 1);
  CHECK_FALSE(read_classical_header(as_bytes(flipped), "m.apr")->crc_matches);
}

TEST_CASE("other files are named for what they are") {
  const auto says = [](const std::string& bytes, std::string_view expected) {
    const auto table = read(bytes);
    REQUIRE_FALSE(table.ok());
    CHECK_THAT(table.error().to_string(), Contains(std::string(expected)));
  };
  says("", "is empty");
  says("A", "not an .apr file");
  says(std::string(100, '\0'), "not an .apr file");
  says("APR1" + std::string(100, '\0'), "early .apr draft");
  says("APR2" + std::string(100, '\0'), "early .apr draft");
  says("GGUF" + std::string(100, '\0'), "GGUF");
  says("PK\x03\x04" + std::string(100, '\0'), "ZIP");
  says(test::le(std::uint64_t{2}) + "{}", "safetensors");
  says(std::string("APR\0", 4), "the header alone has 64");
}

TEST_CASE("variants that would be misread are refused by name") {
  Image image;
  SECTION("column-major") {
    image.flags |= 0x0800;
    refused(image, "LAYOUT_COLUMN_MAJOR", ErrorCode::unsupported);
  }
  SECTION("encrypted") {
    image.flags |= 0x0004;
    refused(image, "encrypted", ErrorCode::unsupported);
  }
  SECTION("compressed") {
    image.flags |= 0x0001;
    refused(image, "compressed", ErrorCode::unsupported);
    image.flags = 0x0002;
    refused(image, "compressed", ErrorCode::unsupported);
  }
  SECTION("a shard") {
    image.flags |= 0x0010;
    refused(image, "shard", ErrorCode::unsupported);
  }
  SECTION("versions") {
    for (const int version : {0, 1, 3, 99, 255}) {
      image.major = static_cast<std::uint8_t>(version);
      refused(image, cat("version ", version, ".0"), ErrorCode::unsupported);
    }
  }
  SECTION("a JSON index") {
    image.index = R"([{"name":"weights","dtype":"json"}])";
    refused(image, "index in JSON", ErrorCode::unsupported);
  }
  SECTION("GGUF names, dimensions innermost first") {
    image.entries = {{"blk.0.attn_q.weight", 0, {8, 2}, 0, 64}};
    refused(image, "as GGUF does", ErrorCode::unsupported);
    image.entries[0].name = "token_embd.weight";
    refused(image, "as GGUF does", ErrorCode::unsupported);
  }
  SECTION("training checkpoints") {
    image.metadata = R"({"format":"entrenar-checkpoint"})";
    refused(image, "transposed", ErrorCode::unsupported);
  }
}

TEST_CASE("the header is checked against the file") {
  Image image;
  SECTION("checksum") {
    std::string bytes = image.bytes();
    bytes[6] = 1;
    const auto table = read(bytes);
    REQUIRE_FALSE(table.ok());
    CHECK_THAT(table.error().to_string(), Contains("checksum of its header"));
  }
  SECTION("metadata beyond the end") {
    image.metadata_offset = 10'000;
    refused(image, "metadata lies outside");
  }
  SECTION("metadata over the header") {
    image.metadata_offset = 32;
    refused(image, "metadata lies outside");
  }
  SECTION("metadata whose end wraps") {
    image.metadata_offset = static_cast<std::int64_t>(kHuge - 2);
    refused(image, "metadata lies outside");
  }
  SECTION("metadata over the cap") {
    image.metadata_size = (16 << 20) + 1;
    refused(image, "at most 16777216");
  }
  SECTION("index over the metadata") {
    image.index_offset = 64;
    refused(image, "tensor index lies");
  }
  SECTION("index behind the data") {
    image.index_offset = 320;
    image.data_offset = 256;
    refused(image, "tensor index lies");
  }
  SECTION("index at the end of numbers") {
    image.index_offset = static_cast<std::int64_t>(kHuge - 1);
    image.data_offset = static_cast<std::int64_t>(kHuge - 1);
    refused(image, "tensor index lies");
  }
  SECTION("data beyond the end") {
    image.data_offset = 1'000'000;
    refused(image, "tensor index lies");
  }
  SECTION("more tensors than the index has room for") {
    for (const std::int64_t count : {5ll, 1'000'000ll, 0xffffffffll}) {
      image.tensor_count = count;
      refused(image, "tensor");
    }
  }
  SECTION("one entry too many") {
    image.tensor_count = 3;
    refused(image, "tensor 2");  // the padding reads as an empty name
  }
}

TEST_CASE("metadata must be an object") {
  Image image;
  image.metadata = "[1]";
  refused(image, "not an object");
  image.metadata = "{\"a\":";
  refused(image, "metadata:1:");
  image.metadata = std::string(1000, '[');
  refused(image, "nested deeper");
  image.metadata = R"({"num_layers":1,"a":1,"n_layer":2,"a":2})";  // duplicates: the last one wins
  const auto table = read(image.bytes());
  REQUIRE(table.ok());
  CHECK(table->metadata.dump() == R"({"num_layers":1,"a":2})");
}

TEST_CASE("index entries are checked one by one") {
  Image image;
  SECTION("names") {
    image.entries[0].name = "";
    refused(image, "name of tensor 0 is empty");
    image.entries[0].name = "a\xff";
    refused(image, "not valid UTF-8");
    image.entries[0].name = "a\n";
    refused(image, "control character");
    image.entries[0].name = std::string(257, 'a');
    refused(image, "at most 256");
    image.entries[0].name = std::string(256, 'a');
    CHECK(read(image.bytes()).ok());
  }
  SECTION("order and uniqueness") {
    image.entries[0].name = "c";
    refused(image, "sorted by name");
    image.entries[0].name = "b";
    refused(image, "twice");
  }
  SECTION("unknown dtype") {
    for (const int code : {10, 11, 15, 29, 31, 127, 130, 255}) {
      image.entries[0].code = static_cast<std::uint8_t>(code);
      refused(image, cat("unknown dtype ", code));
    }
  }
  SECTION("rank") {
    image.entries[0].dims = std::vector<std::uint64_t>(9, 1);
    refused(image, "9 dimensions");
    image.entries[0].dims = std::vector<std::uint64_t>(8, 1);
    image.entries[0].size = 4;
    CHECK(read(image.bytes()).ok());
  }
  SECTION("size and shape disagree") {
    image.entries[0].dims = {2, 9};
    refused(image, "need 72");
    image.entries[0].dims = {2, 8};
    image.entries[0].size = 63;
    refused(image, "has 63 bytes");
  }
  SECTION("dimensions whose product overflows") {
    for (const std::vector<std::uint64_t>& dims : {std::vector<std::uint64_t>{kHuge, kHuge},
                                                   {std::uint64_t{1} << 62, 1},
                                                   {1ull << 32, 1ull << 32, 0},
                                                   {(1ull << 63) + 1, 2},
                                                   {kHuge / 4 + 1}}) {
      image.entries[0].dims = dims;
      refused(image, "larger than 64 bits");
    }
  }
  SECTION("extents beyond the end") {
    for (const std::uint64_t offset :
         {std::uint64_t{4096}, kHuge, kHuge - 63, kHuge - 319, std::uint64_t{1} << 63}) {
      image.entries[1].offset = offset;
      refused(image, "beyond the end");
    }
  }
  SECTION("sizes near the end of numbers, in every type") {
    for (int code = 0; code < 256; ++code) {
      if (apr_type_candidates(static_cast<std::uint8_t>(code)).empty()) continue;
      for (const std::uint64_t dim :
           {kHuge, kHuge - 31, kHuge / 2, kHuge / 34 * 32, kHuge / 18 * 32}) {
        image.entries[1] = {"b", static_cast<std::uint8_t>(code), {dim}, 64, 16};
        CHECK_FALSE(read(image.bytes()).ok());
        image.entries[1].size = kHuge;
        CHECK_FALSE(read(image.bytes()).ok());
      }
    }
  }
  SECTION("misaligned") {
    image.entries[1].offset = 68;
    refused(image, "not a multiple of 64");
  }
  SECTION("cut within an entry") {
    std::string entries = image.entries[0].bytes() + image.entries[1].bytes();
    for (std::size_t size = 1; size + 1 < entries.size(); ++size) {
      image.index = entries.substr(0, size);
      image.data_offset = 128 + static_cast<std::int64_t>(size);
      CHECK_FALSE(read(image.bytes()).ok());
    }
  }
}

TEST_CASE("overlaps are refused, exact aliases are not") {
  Image image;
  image.entries = {{"embed", 0, {2, 8}, 0, 64}, {"head", 0, {2, 8}, 0, 64}, {"z", 0, {4}, 64, 16}};
  const auto tied = read(image.bytes());
  REQUIRE(tied.ok());
  CHECK(tied->tensors[0].alias_of == "head");  // without a word about it, the last by name owns
  image.metadata = R"({"tensor_aliases":{"head":"embed"}})";
  const auto told = read(image.bytes());
  REQUIRE(told.ok());
  CHECK(told->tensors[0].alias_of.empty());
  CHECK(told->tensors[1].alias_of == "embed");

  SECTION("another shape") {
    image.entries[1].dims = {8, 2};
    refused(image, "overlap");
  }
  SECTION("another type of the same size") {
    image.entries[1] = {"head", 4, {2, 8}, 0, 64};
    refused(image, "overlap");
  }
  SECTION("a part") {
    image.entries[1] = {"head", 0, {4}, 0, 16};
    refused(image, "overlap");
  }
  SECTION("one tensor over several") {
    image.entries = {{"a", 0, {32}, 0, 128}, {"b", 0, {4}, 64, 16}};
    refused(image, "overlap");
  }
  SECTION("empty tensors share nothing") {
    image.entries = {{"a", 0, {0, 8}, 0, 0}, {"b", 0, {2, 8}, 0, 64}, {"c", 0, {0}, 0, 0}};
    CHECK(read(image.bytes()).ok());
  }
}

TEST_CASE("both dialects of the dtype byte are told apart by size, or by the metadata") {
  struct Row {
    int code;
    std::vector<std::uint64_t> dims;
    std::uint64_t size;
    Type expected;
  };
  const Row rows[] = {
      {3, {4, 32}, 1024, Type::f64},   {3, {4, 32}, 80, Type::q4_1},
      {6, {4, 32}, 128, Type::i8},     {6, {4, 32}, 88, Type::q5_0},
      {7, {4, 32}, 128, Type::u8},     {7, {4, 32}, 96, Type::q5_1},
      {8, {4, 32}, 72, Type::apr_q4},  {8, {4, 32}, 136, Type::q8_0},
      {9, {4, 32}, 132, Type::apr_q8}, {128, {5, 7}, 36, Type::apr_q4},
      {129, {5, 7}, 39, Type::apr_q8}, {2, {4, 32}, 72, Type::q4_0},
      {2, {4, 33}, 144, Type::q4_0},   {12, {1, 256}, 144, Type::q4_k},
      {13, {1, 256}, 176, Type::q5_k}, {14, {1, 256}, 210, Type::q6_k},
      {30, {5, 7}, 70, Type::bf16},    {1, {5, 7}, 70, Type::f16},
      {4, {3}, 12, Type::i32},         {5, {3}, 24, Type::i64},
  };
  for (const Row& row : rows) {
    Image image;
    image.entries = {{"t", static_cast<std::uint8_t>(row.code), row.dims, 0, row.size}};
    image.data = std::string(1024, '\0');
    const auto table = read(image.bytes());
    INFO(row.code << " " << row.size);
    REQUIRE(table.ok());
    CHECK(table->tensors[0].type == row.expected);
  }
  // 22 columns: i8 and q5_0 take the same bytes.
  Image image;
  image.entries = {{"t", 6, {2, 22}, 0, 44}};
  CHECK(read(image.bytes())->tensors[0].type == Type::i8);
  image.metadata = R"({"tensor_types":{"t":"q5_0"}})";
  CHECK(read(image.bytes())->tensors[0].type == Type::q5_0);
  // Metadata that a rewrite has left behind says nothing.
  image.metadata = R"({"tensor_types":{"t":"f32","gone":"q4_0","odd":7}})";
  CHECK(read(image.bytes())->tensors[0].type == Type::i8);
}

TEST_CASE("a file cut at any byte is refused, except for its padding and footer") {
  const std::string bytes = Image{}.bytes();
  const std::size_t needed = 256 + 64 + 16;  // the end of tensor b
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    INFO(size);
    CHECK(read(bytes.substr(0, size)).ok() == (size >= needed));
  }
}

TEST_CASE("bit flips in header, metadata and index never crash and never leave the file") {
  const std::string good = Image{}.bytes();
  for (std::size_t bit = 0; bit < 256 * 8; ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    if (bit / 8 < 64) {  // as if the flip had been there before the checksum was taken
      const std::uint32_t crc =
          crc32(as_bytes(bytes).subspan(44, 20), crc32(as_bytes(bytes).first(40)));
      std::memcpy(bytes.data() + 40, &crc, 4);
    }
    const auto table = read(bytes);
    if (!table) continue;
    for (const AprTensor& tensor : table->tensors) {
      REQUIRE(tensor.offset <= bytes.size());
      REQUIRE(tensor.size <= bytes.size() - tensor.offset);
    }
  }
}

TEST_CASE("a directory that does not fit is lost, not an error") {
  Image image;
  const auto problem = [&](std::uint64_t offset, std::uint64_t size) {
    image.reserved = "APRX" + test::le(offset) + test::le(size);
    const auto table = read(image.bytes());
    REQUIRE(table.ok());
    CHECK(table->sections.state == AprSections::State::lost);
    CHECK(table->sections.directory.empty());
    CHECK(table->sections.find(AprSectionType::files) == nullptr);
    return table->sections.problem;
  };
  CHECK_THAT(problem(0, 1024), Contains("directory"));
  CHECK_THAT(problem(384, 1024), Contains("directory"));
  CHECK_THAT(problem(kHuge - 63, 1024), Contains("directory"));
  CHECK_THAT(problem(384, kHuge), Contains("directory"));
  image.data.resize(128 + 1024);
  CHECK_THAT(problem(384, 1024), Contains("DIGESTS section is missing"));
  CHECK_THAT(problem(256, 1024), Contains("directory"));  // over the tensors
  CHECK_THAT(problem(385, 1024), Contains("directory"));
  image.data[128] = 1;  // a slot of type 1 without anything else
  CHECK_THAT(problem(384, 1024), Contains("slot 0"));
}
