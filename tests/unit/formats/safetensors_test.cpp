#include "core/formats/safetensors/safetensors.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/base/cat.h"
#include "core/formats/bytes.h"

using namespace apr;
using Catch::Matchers::Contains;

namespace {

std::string image(std::string_view header, std::size_t data) {
  const std::uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + std::string(header) +
         std::string(data, 'x');
}

std::string tensor(std::string_view name, std::string_view dtype, std::string_view shape,
                   std::string_view begin, std::string_view end) {
  return cat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape, ",\"data_offsets\":[",
             begin, ",", end, "]}");
}

Result<SafetensorsTable> read(const std::string& bytes) {
  return read_safetensors_table(as_bytes(bytes), "m.safetensors");
}

void refused(const std::string& bytes, std::string_view expected,
             ErrorCode code = ErrorCode::format) {
  const auto table = read(bytes);
  INFO(expected);
  REQUIRE_FALSE(table.ok());
  CHECK_THAT(table.error().to_string(),
             Contains(std::string(expected)) && Contains("m.safetensors"));
  CHECK(table.error().code == code);
}

}  // namespace

TEST_CASE("sound safetensors are read, whatever the order of their header") {
  const auto table = read(image(
      "{" + tensor("b", "F32", "[2,1]", "4", "12") + "," + tensor("a", "BF16", "[2]", "0", "4") +
          "," + tensor("scalar", "F64", "[]", "12", "20") + "," +
          tensor("none", "I8", "[0,5]", "20", "20") + "," +
          tensor("mask", "BOOL", "[3]", "20", "23") + R"(,"__metadata__":{"format":"pt"}}   )",
      23));
  REQUIRE(table.ok());
  REQUIRE(table->tensors.size() == 5);
  CHECK(table->tensors[0].name == "a");
  CHECK(table->tensors[0].type == Type::bf16);
  CHECK(table->tensors[1].offset == table->tensors[0].offset + 4);
  CHECK(table->tensors[4].shape.rank() == 0);
  CHECK(table->metadata["format"].as_string() == "pt");
  CHECK(read(image("{}", 0)).ok());
}

TEST_CASE("the container is checked against the file") {
  refused("", "is empty");
  refused("1234567", "too short");
  refused(std::string(8, '\xff'), "is not a safetensors file");
  refused(image("{}", 0).substr(0, 9), "announces a header of 2 bytes");
  refused(image("[]", 0), "not JSON");
  refused(image("{", 0), "header:1:");
  refused(image("", 4), "not JSON");
  refused(image("{}", 1), "1 bytes after its last tensor");
  std::string large = image("{}", 0);
  const std::uint64_t size = 100'000'001;
  std::memcpy(large.data(), &size, 8);
  refused(large, "a header of 100000001 bytes");
}

TEST_CASE("tensor descriptions are checked one by one") {
  const auto one = [](const std::string& description, std::size_t data) {
    return image("{" + description + "}", data);
  };
  refused(one(tensor("t", "F32", "[2]", "0", "4"), 4), "needs 8");
  refused(one(tensor("t", "F32", "[1]", "0", "4"), 3), "ends at byte 4 of the data, which has 3");
  refused(one(tensor("t", "F32", "[1]", "4", "0"), 4), "ascending");
  refused(one(tensor("t", "F32", "[1]", "-4", "0"), 4), "ascending");
  refused(one(tensor("t", "F32", "[1]", "0", "4.0"), 4), "ascending");
  refused(one(tensor("t", "F32", "[1]", "0", "1e3"), 4), "ascending");
  refused(one(tensor("t", "F32", "[1]", "18446744073709551612", "18446744073709551616"), 4),
          "ascending");
  refused(one(tensor("t", "F32", "[-1]", "0", "4"), 4), "dimension");
  refused(one(tensor("t", "F32", "[1.0]", "0", "4"), 4), "dimension");
  refused(one(tensor("t", "F32", "[9223372036854775807,4]", "0", "4"), 4), "larger than 64 bits");
  refused(one(tensor("t", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4"), 4), "9 dimensions");
  refused(one(tensor("t", "F32", "1", "0", "4"), 4), "no shape");
  refused(one(tensor("a\\u0007", "F32", "[1]", "0", "4"), 4), "control character");
  refused(one(tensor("", "F32", "[1]", "0", "4"), 4), "is empty");
  refused(one(R"("t":{"shape":[1],"data_offsets":[0,4]})", 4), "no dtype");
  refused(one(R"("t":{"dtype":"F32","shape":[1]})", 4), "data_offsets");
  refused(one(R"("t":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]})", 4), "data_offsets");
  refused(one(R"("t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})", 4),
          "unknown member \"x\"");
  refused(one(R"("t":5)", 0), "not described by an object");
  refused(one(R"("__metadata__":{"a":1})", 0), "not a string");
  refused(one(R"("__metadata__":[])", 0), "not an object");
  for (const char* dtype : {"F8_E4M3", "U16", "C64", "f32", ""}) {
    refused(one(tensor("t", dtype, "[1]", "0", "4"), 4), cat("dtype ", dtype),
            ErrorCode::unsupported);
  }
}

TEST_CASE("duplicates, overlaps and holes are refused") {
  const std::string a = tensor("a", "U8", "[4]", "0", "4");
  refused(image("{" + a + "," + a + "}", 4), "\"a\" appears twice");
  refused(image("{" + a + "," + tensor("b", "U8", "[4]", "2", "6") + "}", 6), "overlaps");
  refused(image("{" + a + "," + tensor("b", "U8", "[4]", "0", "4") + "}", 4), "overlaps");
  refused(image("{" + a + "," + tensor("b", "U8", "[4]", "5", "9") + "}", 9), "a hole of 1 bytes");
  refused(image("{" + tensor("b", "U8", "[4]", "1", "5") + "}", 5), "a hole of 1 bytes");
  refused(image("{" + a + "}", 5), "1 bytes after");
}

TEST_CASE("bloated headers are bounded") {
  std::string header = "{";
  for (int i = 0; i < 270'000; ++i) header += cat(i > 0 ? "," : "", "\"", i, "\":0");
  refused(image(header + "}", 0), "at most 262144");
  refused(image(std::string(1000, '[').replace(0, 1, "{"), 0), "header:1:");
  refused(image(R"({"a":{"b":{"c":{"d":{}}}}})", 0), "nested deeper than 4");
}

TEST_CASE("a file cut at any byte is refused") {
  const std::string good = image("{" + tensor("a", "F32", "[2]", "0", "8") + "}", 8);
  REQUIRE(read(good).ok());
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(read(good.substr(0, size)).ok());
}

TEST_CASE("the bundled model's header is read, and a written header says the same") {
  std::ostringstream text;
  text << std::ifstream(APR_SOURCE_DIR "/golden/apr-tiny-chat/model.safetensors", std::ios::binary)
              .rdbuf();
  const std::string bytes = text.str();
  const auto table = read(bytes);
  REQUIRE(table.ok());
  auto tensors = table->tensors;
  std::ranges::sort(tensors, {}, &SafetensorsTensor::offset);
  const auto header = write_safetensors_header(tensors, table->metadata);
  REQUIRE(header.ok());
  CHECK(header->size() % 8 == 0);
  std::string rewritten = *header;
  for (const auto& before : table->tensors) rewritten.resize(rewritten.size() + before.size);
  const auto reread = read(rewritten);
  REQUIRE(reread.ok());
  REQUIRE(reread->tensors.size() == table->tensors.size());
  for (std::size_t i = 0; i < table->tensors.size(); ++i) {
    CHECK(reread->tensors[i].name == table->tensors[i].name);
    CHECK(reread->tensors[i].shape == table->tensors[i].shape);
    CHECK(reread->tensors[i].type == table->tensors[i].type);
  }
  CHECK(reread->metadata == table->metadata);
}

TEST_CASE("types without a place in safetensors are refused") {
  std::vector<SafetensorsTensor> tensors = {{"t", Type::q8_0, {1, 32}, 0, 0}};
  const auto header = write_safetensors_header(tensors, Json::object());
  REQUIRE_FALSE(header.ok());
  CHECK(header.error().code == ErrorCode::unsupported);
  CHECK(safetensors_dtype(Type::bf16) == "BF16");
  CHECK(safetensors_dtype(Type::u8) == "U8");
  CHECK(safetensors_dtype(Type::q4_0).empty());
}
