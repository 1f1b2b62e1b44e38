// Import and export of safetensors, on the real small models and on broken sources.
#include <catch2/catch.hpp>
#include <cstring>

#include "core/base/cat.h"
#include "core/package/write.h"
#include "core/tensor/codec.h"
#include "tests/unit/package/support.h"

using namespace apr;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

const std::string kConfig = R"({"model_type": "llama", "tie_word_embeddings": true})";

/// A checkpoint of one f32 tensor per name, each of four elements that start with `first`.
std::string weights(const std::vector<std::string>& names, float first = 1) {
  std::string header = "{";
  std::string data;
  for (const std::string& name : names) {
    const std::size_t begin = data.size();
    for (int i = 0; i < 4; ++i) {
      const float value = first + static_cast<float>(i);
      data.append(reinterpret_cast<const char*>(&value), 4);
    }
    header +=
        cat(begin == 0 ? "" : ",", "\"", name, R"(":{"dtype":"F32","shape":[2,2],"data_offsets":[)",
            begin, ",", data.size(), "]}");
  }
  header += "}";
  const std::uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header + data;
}

Error refused(const std::string& source, std::string_view expected) {
  const auto package = test::import(source);
  INFO(source << " " << expected);
  REQUIRE_FALSE(package.ok());
  CHECK_THAT(package.error().to_string(), Contains(std::string(expected)));
  return package.error();
}

}  // namespace

TEST_CASE("the bundled model is imported from its folder and from its file") {
  const auto folder = test::import(test::kTinyChat);
  REQUIRE(folder.ok());
  const auto file = test::import(test::kTinyChat + "/model.safetensors");
  REQUIRE(file.ok());
  test::require_same_tensors(*folder, *file);
  CHECK(folder->format() == "safetensors");
  CHECK(folder->config()["model_type"].as_string() == "qwen2");
  CHECK(*folder->file("tokenizer.json") == test::read(test::kTinyChat + "/tokenizer.json"));
  CHECK(folder->file("README.md") == nullptr);
  const TensorEntry* head = folder->find("lm_head.weight");
  REQUIRE(head != nullptr);
  CHECK(head->alias_of == "model.embed_tokens.weight");
  REQUIRE(folder->lineage().size() == 1);
  const LineageRecord& record = folder->lineage()[0];
  CHECK(record.stage == "import");
  std::size_t checked = 0;
  for (const LineageRecord::Input& input : record.inputs) {
    const std::string path = test::kTinyChat + "/" + input.name;
    CHECK(test::run("sha256sum " + path).substr(0, 64) == input.digest.hex());
    ++checked;
  }
  CHECK(checked == folder->files().size() + 1);
}

TEST_CASE("the llama model is imported, its tied head as an alias") {
  const std::string source = test::shared("stories260K");
  if (source.empty()) return;
  const auto package = test::import(source);
  REQUIRE(package.ok());
  CHECK(package->config()["model_type"].as_string() == "llama");
  const test::Scratch scratch;
  REQUIRE(write_apr(scratch.path("m.apr"), plan_copy(*package), false).ok());
  const auto opened = open_apr(scratch.path("m.apr"));
  REQUIRE(opened.ok());
  test::require_same_tensors(*package, *opened);
}

TEST_CASE("sources that cannot be imported say why") {
  const test::Scratch scratch;
  const auto put = [&](const std::string& name, const std::string& content) {
    test::write(scratch.path(name), content);
  };
  refused(scratch.path("nothing.safetensors"), "no such file");
  fs::create_symlink("nowhere", scratch.path("dangling.safetensors"));
  CHECK(
      refused(scratch.path("dangling.safetensors"), "a link to a file that does not exist").code ==
      ErrorCode::not_found);
  fs::remove(scratch.path("dangling.safetensors"));

  refused(scratch.root().string(), "holds no .safetensors file");
  put("pytorch_model.bin", "PK");
  CHECK(refused(scratch.root().string(), "pytorch_model.bin, a Python pickle").code ==
        ErrorCode::unsupported);
  put("model.safetensors", weights({"a"}));
  refused(scratch.root().string(), "no config.json");
  refused(scratch.path("model.safetensors"), "no config.json");
  put("config.json", "{\"a\": 1,}");
  refused(scratch.root().string(), "config.json:1:9");
  put("config.json", "[]");
  refused(scratch.root().string(), "not a JSON object");
  put("config.json", kConfig);
  REQUIRE(test::import(scratch.root().string()).ok());

  fs::create_symlink("nowhere", scratch.path("tokenizer.json"));
  refused(scratch.root().string(), "a link to a file that does not exist");
  fs::remove(scratch.path("tokenizer.json"));
  fs::create_directory(scratch.path("tokenizer.json"));
  refused(scratch.root().string(), "a folder");
  fs::remove(scratch.path("tokenizer.json"));

  put("model.safetensors", weights({"a"}).substr(0, 50));
  refused(scratch.root().string(), "cut short");
  fs::remove(scratch.path("model.safetensors"));
  put("x.safetensors", weights({"a"}));
  CHECK(test::import(scratch.root().string()).ok());  // the only one there is
  put("y.safetensors", weights({"b"}));
  refused(scratch.root().string(), "several .safetensors files: x.safetensors, y.safetensors");
}

TEST_CASE("sharded checkpoints are put together; broken ones are named") {
  const test::Scratch scratch;
  const std::string index = scratch.path("model.safetensors.index.json");
  const std::string one = "model-00001-of-00002.safetensors";
  const std::string two = "model-00002-of-00002.safetensors";
  test::write(scratch.path("config.json"), kConfig);
  test::write(scratch.path(one), weights({"a", "model.embed_tokens.weight"}));
  test::write(scratch.path(two), weights({"c"}, 9));
  const auto map = [&](const std::string& a, const std::string& c, const std::string& more = "") {
    test::write(index,
                cat(R"({"metadata":{"total_size":48},"weight_map":{"a":")", a,
                    R"(","model.embed_tokens.weight":")", one, R"(","c":")", c, "\"", more, "}}"));
  };
  map(one, two);
  for (const std::string& source : {scratch.root().string(), index}) {
    const auto package = test::import(source);
    REQUIRE(package.ok());
    REQUIRE(package->tensors().size() == 4);
    CHECK(package->find("lm_head.weight")->alias_of == "model.embed_tokens.weight");
    CHECK(package->lineage()[0].inputs.size() == 4);  // config, index, two shards
    float value = 0;
    std::memcpy(&value, package->find("c")->view.data.data(), 4);
    CHECK(value == 9);
  }
  refused(scratch.path(one), "is one shard of a model");
  const std::string source = scratch.root().string();
  map(two, two);
  refused(source, cat("puts the tensor a into ", two, ", but it is in ", one));
  map(one, two, cat(R"(,"ghost":")", two, "\""));
  refused(source, "promises the tensor ghost");
  map(one, "gone.safetensors");
  refused(source, "gone.safetensors: no such file");
  for (const char* evil : {"../up.safetensors", "/etc/passwd", "a/b.safetensors", "..", ""}) {
    map(one, evil);
    refused(source, "weight_map \"c\"");
  }
  map(one, "weights.bin");
  refused(source, "no .safetensors file");
  map(one, two, R"(,"c":"x")");
  refused(source, "appears twice");
  test::write(index, "{}");
  refused(source, "no weight_map");
  map(one, two);
  test::write(scratch.path(two), weights({"c", "stray"}));
  refused(source, "does not list the tensor stray");
  test::write(scratch.path(two), weights({"c", "a"}));
  refused(source, "but it is in");
  fs::remove(index);
  refused(source, "holds shards and no model.safetensors.index.json");
}

TEST_CASE("a package exported and imported again is the same") {
  const test::Scratch scratch;
  for (const std::string& source : {test::kTinyChat, test::shared("stories260K")}) {
    if (source.empty()) continue;
    const auto package = test::import(source);
    REQUIRE(package.ok());
    const std::string apr_file = scratch.path("m.apr");
    REQUIRE(write_apr(apr_file, plan_copy(*package), true).ok());
    const auto opened = open_apr(apr_file);
    REQUIRE(opened.ok());
    const std::string target = scratch.path(base_name(source));
    const auto outcome = test::export_to(*opened, target);
    REQUIRE(outcome.ok());
    const auto again = test::import(target);
    REQUIRE(again.ok());
    test::require_same_tensors(*package, *again);
    CHECK(again->files() == package->files());  // byte for byte
    std::uint64_t bytes = 0;
    for (const std::string& name : outcome->files) bytes += fs::file_size(fs::path(target) / name);
    CHECK(bytes == outcome->bytes);
  }
}

TEST_CASE("an independent reader finds the same tensors in an export") {
  const test::Scratch scratch;
  const auto package = test::import(test::kTinyChat);
  REQUIRE(package.ok());
  REQUIRE(test::export_to(*package, scratch.path("out")).ok());
  const std::string listed =
      test::run("python3 " APR_SOURCE_DIR "/tests/unit/package/read_safetensors.py " +
                scratch.path("out/model.safetensors"));
  std::string expected = "metadata {\"format\": \"pt\"}\n";
  for (const TensorEntry& entry : package->tensors()) {
    if (!entry.alias_of.empty()) continue;
    expected += cat(entry.name, " BF16 ", entry.view.shape.to_string(), " ",
                    sha256(entry.view.data).hex(), "\n");
  }
  CHECK(listed == expected);
}

TEST_CASE("quantized tensors are exported as the float32 values they denote") {
  const test::Scratch scratch;
  const auto blocks = std::make_shared<Tensor>();
  blocks->type = Type::q8_0;
  blocks->shape = {3, 40};  // rows padded to 64
  blocks->data.resize(*storage_bytes(blocks->type, blocks->shape));
  for (std::size_t i = 0; i < blocks->data.size(); ++i)
    blocks->data[i] = static_cast<std::byte>(i * 7 % 60);
  const auto plain = std::make_shared<Tensor>();
  plain->type = Type::f16;
  plain->shape = {4};
  plain->data.resize(8, std::byte{0x3c});
  Package::Parts parts;
  parts.path = "memory";
  parts.config = *parse_json(R"({"model_type":"llama","torch_dtype":"bfloat16"})");
  parts.files["config.json"] = parts.config.dump();
  parts.owned = {blocks, plain};
  parts.tensors = {
      {"w", blocks->view(), ""}, {"norm", plain->view(), ""}, {"tied", blocks->view(), "w"}};
  const auto package = Package::from(std::move(parts));
  REQUIRE(package.ok());
  const auto outcome = test::export_to(*package, scratch.path("out"));
  REQUIRE(outcome.ok());
  REQUIRE(outcome->notes.size() == 1);
  CHECK_THAT(outcome->notes[0], Contains("2 quantized tensors were decoded to float32"));
  const auto again = test::import(scratch.path("out"));
  REQUIRE(again.ok());
  CHECK(again->config()["torch_dtype"].as_string() == "float32");
  CHECK(again->find("norm")->view.type == Type::f16);
  for (const char* name :
       {"w", "tied"}) {  // no tie_word_embeddings in the config: the copy is written out
    const TensorView& view = again->find(name)->view;
    REQUIRE(view.type == Type::f32);
    std::vector<float> expected(120);
    REQUIRE(decode(blocks->view(), 0, expected).ok());
    CHECK(std::memcmp(view.data.data(), expected.data(), 480) == 0);
  }
}

TEST_CASE("an export replaces exports only") {
  const test::Scratch scratch;
  const auto package = test::import(test::kTinyChat);
  REQUIRE(package.ok());
  const std::string target = scratch.path("out");
  REQUIRE(test::export_to(*package, target).ok());
  CHECK(test::export_to(*package, target).error().code == ErrorCode::validation);
  REQUIRE(test::export_to(*package, target, true).ok());
  test::write(target + "/diary.txt", "mine");
  const auto refusal = test::export_to(*package, target, true);
  REQUIRE_FALSE(refusal.ok());
  CHECK_THAT(refusal.error().to_string(), Contains("diary.txt"));
  CHECK(test::read(target + "/diary.txt") == "mine");
  test::write(scratch.path("file"), "x");
  CHECK_FALSE(test::export_to(*package, scratch.path("file"), true).ok());
}

TEST_CASE("a stopped import says so") {
  auto importer = test::registry().importer("safetensors");
  REQUIRE(importer.ok());
  const auto package = (*importer)->open(
      test::kTinyChat, [](std::string_view, std::uint64_t, std::uint64_t) { return false; });
  REQUIRE_FALSE(package.ok());
  CHECK(package.error().code == ErrorCode::interrupted);
}

TEST_CASE("sources are recognized by name or content") {
  const test::Scratch scratch;
  auto found = test::registry().importer("safetensors");
  REQUIRE(found.ok());
  Importer* importer = *found;
  CHECK(importer->recognizes("x.safetensors"));
  CHECK(importer->recognizes(test::kTinyChat));
  test::write(scratch.path("weights"), weights({"a"}));
  CHECK(importer->recognizes(scratch.path("weights")));
  test::write(scratch.path("text"), "hello, world, how are you");
  CHECK_FALSE(importer->recognizes(scratch.path("text")));
  CHECK_FALSE(importer->recognizes(scratch.path("missing")));
}
