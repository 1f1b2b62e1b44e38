// Golden traces from strangers: every field is what it should be, or is named.
#include <catch2/catch.hpp>

#include "core/base/hash.h"
#include "core/platform/file.h"
#include "orchestrator/process/fresh_folder.h"
#include "orchestrator/stages/golden_trace.h"

using namespace apr;

namespace {

/// Opens a trace whose only prompt is `prompt`, beside a tensor file with b.x of four numbers.
Result<GoldenTrace> open_trace(const std::string& prompt) {
  const auto folder = FreshFolder::create("apr-golden-test");
  REQUIRE(folder.ok());
  const auto put = [&](const std::string& name, const std::string& text) {
    std::string path = join_path(folder->path(), name);
    auto file = AtomicFile::create(path, false);
    REQUIRE((file.ok() && file->write(text).ok() && file->commit().ok()));
    return path;
  };
  const std::string header = R"({"b.x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";
  std::string tensors(8, '\0');
  tensors[0] = static_cast<char>(header.size());
  tensors += header + std::string(16, '\0');
  put("t.safetensors", tensors);
  return GoldenTrace::open(
      put("golden.json", R"({"format":1,"tensor_file":"t.safetensors","tensor_file_sha256":")" +
                             sha256(std::as_bytes(std::span(std::string_view(tensors)))).hex() +
                             R"(","prompts":[)" + prompt + "]}"));
}

std::string batch(const std::string& fields) {
  return R"({"name":"b","prompt":"","ids":[[1,2],[3,4]],"tensors":["b.x"])" + fields + "}";
}

}  // namespace

TEST_CASE("Rows of a batch are looked for in lists only") {
  const auto sound = open_trace(batch(R"(,"token_type_ids":[[0,0],[0,1]])"));
  REQUIRE(sound.ok());
  CHECK(sound->prompts()[0].sequences[1].types == std::vector<std::int32_t>{0, 1});
  for (const char* wrong :
       {R"({"a":[0,0],"b":[0,0]})", R"([[0,0]])", R"([[0,0],{"a":0}])", "7", "\"text\""}) {
    const auto trace = open_trace(batch(std::string(R"(,"token_type_ids":)") + wrong));
    REQUIRE_FALSE(trace.ok());
    CHECK(trace.error().message.find("prompts[0].token_type_ids[") != std::string::npos);
  }
}
