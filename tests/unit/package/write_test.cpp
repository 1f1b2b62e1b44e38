// Import, write, open again, verify: on the bundled model and on packages made up here.
#include "core/package/write.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "core/base/cat.h"
#include "core/formats/apr/table.h"
#include "core/formats/bytes.h"
#include "core/package/lineage.h"
#include "tests/unit/package/support.h"

using namespace apr;
using Catch::Matchers::Contains;

namespace {

PackagePlan::PlannedTensor planned(std::string name, Type type, Shape shape, unsigned seed = 0) {
  PackagePlan::PlannedTensor tensor;
  tensor.name = std::move(name);
  tensor.type = type;
  tensor.shape = shape;
  const auto size = *storage_bytes(type, shape);
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + seed);
  tensor.produce = [bytes = std::move(bytes)](const auto& sink) -> Status {
    const auto half = std::span(bytes).first(bytes.size() / 2);
    APR_TRY(sink(half));
    return sink(std::span(bytes).subspan(half.size()));
  };
  return tensor;
}

PackagePlan small_plan() {
  PackagePlan plan;
  plan.tensors.push_back(planned("b.weight", Type::f32, {3, 5}));
  plan.tensors.push_back(planned("a.weight", Type::q4_0, {4, 64}, 7));
  plan.tensors.push_back(planned("scalar", Type::f64, {}));
  plan.tensors.push_back(planned("empty", Type::f16, {0, 8}));
  PackagePlan::PlannedTensor tied;
  tied.name = "a.alias";
  tied.type = Type::q4_0;
  tied.shape = {4, 64};
  tied.alias_of = "a.weight";
  plan.tensors.push_back(tied);
  plan.metadata = Json::object({{"model_type", "test"}, {"name", "small"}});
  plan.files = {{"config.json", "{\"model_type\": \"test\"}"}, {"tokenizer.json", "{}"}};
  plan.tokenizer_table = {std::byte{1}, std::byte{2}, std::byte{3}};
  LineageRecord record;
  record.stage = "import";
  record.tool = "apr test";
  record.parameters = Json::object({{"z", 1}, {"a", true}});
  record.inputs = {{"model.safetensors", sha256("x")}};
  plan.lineage = {record};
  return plan;
}

std::size_t problems(const std::string& path) {
  const auto found = verify_apr(path);
  if (!found) return 1;
  return found->problems.size() + (found->trust_section_stale ? 1 : 0);
}

}  // namespace

TEST_CASE("the bundled model survives import, writing, opening and verification") {
  const test::Scratch scratch;
  const auto source = test::import(test::kTinyChat);
  REQUIRE(source.ok());
  const std::string path = scratch.path("tiny.apr");
  const auto written = write_apr(path, plan_copy(*source), false);
  REQUIRE(written.ok());
  const auto opened = open_apr(path);
  REQUIRE(opened.ok());
  test::require_same_tensors(*source, *opened);
  CHECK(opened->files() == source->files());
  CHECK(opened->config() == source->config());
  CHECK(opened->content_root() == written->content_root);
  CHECK(opened->trust_problem().empty());
  CHECK(opened->parameter_count() == source->parameter_count());
  REQUIRE(opened->lineage().size() == 1);
  CHECK(opened->lineage()[0].stage == "import");
  CHECK(encode_lineage(opened->lineage()) == encode_lineage(source->lineage()));
  const TensorEntry* head = opened->find("lm_head.weight");
  const TensorEntry* embedding = opened->find("model.embed_tokens.weight");
  REQUIRE(head != nullptr);
  REQUIRE(embedding != nullptr);
  CHECK(head->alias_of == embedding->name);
  CHECK(head->view.data.data() == embedding->view.data.data());
  CHECK(opened->metadata()["num_layers"].as_integer() == 4);
  CHECK(opened->metadata()["hidden_size"].as_integer() == 256);
  CHECK_FALSE(opened->metadata().contains("num_hidden_layers"));

  const auto verified = verify_apr(path);
  REQUIRE(verified.ok());
  CHECK(verified->problems.empty());
  CHECK(verified->header_crc_present);
  CHECK(verified->footer_present);
  CHECK(verified->trust_section);
  CHECK_FALSE(verified->trust_section_stale);
  CHECK(verified->tensors_checked == opened->tensors().size());

  SECTION("the same input makes the same bytes") {
    const std::string again = scratch.path("again.apr");
    REQUIRE(write_apr(again, plan_copy(*source), false).ok());
    CHECK(test::read(again) == test::read(path));
  }
  SECTION("a copy of the written package is the same file") {
    const std::string copy = scratch.path("copy.apr");
    REQUIRE(write_apr(copy, plan_copy(*opened), false).ok());
    CHECK(test::read(copy) == test::read(path));
  }
}

TEST_CASE("every kind of tensor and section is written and found again") {
  const test::Scratch scratch;
  const std::string path = scratch.path("small.apr");
  const PackagePlan plan = small_plan();
  const auto written = write_apr(path, plan, false);
  REQUIRE(written.ok());
  CHECK(written->bytes == test::read(path).size());
  const auto opened = open_apr(path);
  REQUIRE(opened.ok());
  CHECK(opened->tensors().size() == 5);
  CHECK(opened->find("a.alias")->alias_of == "a.weight");  // though "a.alias" sorts first
  CHECK(opened->find("scalar")->view.shape.rank() == 0);
  CHECK(opened->find("empty")->view.data.empty());
  CHECK(opened->files() == plan.files);
  CHECK(std::ranges::equal(opened->tokenizer_table(), plan.tokenizer_table));
  CHECK(opened->metadata()["quantization"]["quant_type"].as_string() == "q4_0");
  CHECK(opened->metadata()["tensor_types"]["a.weight"].as_string() == "q4_0");
  CHECK(opened->metadata()["param_count"].as_integer() == 3 * 5 + 4 * 64 + 1);
  const auto bytes = test::read(path);
  const auto table = read_apr_table(as_bytes(bytes), "small.apr");
  REQUIRE(table.ok());
  CHECK(table->header.flags == (0x0400 | 0x0020 | 0x0200));
  CHECK(table->sections.directory.size() == 4);
  for (const AprTensor& tensor : table->tensors) CHECK(tensor.offset % 64 == 0);
  CHECK(problems(path) == 0);
}

TEST_CASE("one changed byte anywhere is found by verification or refused") {
  const test::Scratch scratch;
  const std::string path = scratch.path("small.apr");
  REQUIRE(write_apr(path, small_plan(), false).ok());
  const std::string good = test::read(path);
  REQUIRE(problems(path) == 0);
  const std::string broken = scratch.path("broken.apr");
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    test::write(broken, bytes);
    INFO("byte " << at);
    REQUIRE(problems(broken) > 0);
  }
}

TEST_CASE("a file cut anywhere is refused or found by verification") {
  const test::Scratch scratch;
  const std::string path = scratch.path("small.apr");
  REQUIRE(write_apr(path, small_plan(), false).ok());
  const std::string good = test::read(path);
  const std::string cut = scratch.path("cut.apr");
  for (std::size_t size = 0; size < good.size(); ++size) {
    test::write(cut, good.substr(0, size));
    INFO("length " << size);
    REQUIRE(problems(cut) > 0);
  }
}

TEST_CASE("a rewrite by a tool that knows no sections loses trust and nothing else") {
  const test::Scratch scratch;
  const std::string path = scratch.path("small.apr");
  REQUIRE(write_apr(path, small_plan(), false).ok());
  const std::string good = test::read(path);
  const auto table = read_apr_table(as_bytes(good), "x");
  REQUIRE(table.ok());

  SECTION("metadata changed, checksums renewed") {
    std::string bytes = good;
    const auto name = bytes.find("\"small\"");
    REQUIRE(name != std::string::npos);
    bytes.replace(name, 7, "\"SMALL\"");
    const std::uint32_t crc = crc32(as_bytes(bytes).first(bytes.size() - 4));
    std::memcpy(bytes.data() + bytes.size() - 4, &crc, 4);
    test::write(path, bytes);
  }
  SECTION("sections dropped, reserved bytes kept") {
    std::string bytes = good.substr(0, table->header.directory_offset);
    const std::uint32_t crc = crc32(as_bytes(bytes));
    bytes.append(reinterpret_cast<const char*>(&crc), 4);
    test::write(path, bytes);
  }
  const auto opened = open_apr(path);
  REQUIRE(opened.ok());
  CHECK_FALSE(opened->trust_problem().empty());
  CHECK(opened->files().empty());
  CHECK(opened->lineage().empty());
  CHECK_FALSE(opened->content_root().has_value());
  CHECK(opened->tensors().size() == 5);
  const auto verified = verify_apr(path);
  REQUIRE(verified.ok());
  CHECK(verified->trust_section_stale);
  CHECK_FALSE(verified->trust_section);
  CHECK(verified->problems.empty());
}

TEST_CASE("what cannot be written is refused before a file appears") {
  const test::Scratch scratch;
  const std::string path = scratch.path("out.apr");
  PackagePlan plan = small_plan();
  std::string expected;
  SECTION("a tensor planned twice") {
    plan.tensors.push_back(planned("scalar", Type::f32, {1}));
    expected = "planned twice";
  }
  SECTION("an alias of nothing") {
    plan.tensors.back().alias_of = "nobody";
    expected = "stores none";
  }
  SECTION("an alias of another shape") {
    plan.tensors.back().shape = {64, 4};
    expected = "differs in type or shape";
  }
  SECTION("an alias of an alias") {
    plan.tensors.push_back(plan.tensors.back());
    plan.tensors.back().name = "third";
    plan.tensors.back().alias_of = "a.alias";
    expected = "stores none";
  }
  SECTION("a source that stops early") {
    plan.tensors[0].produce = [](const auto& sink) { return sink(std::span<const std::byte>()); };
    expected = "gave 0 of its 60 bytes";
  }
  SECTION("a source that gives too much") {
    plan.tensors[0].produce = [](const auto& sink) {
      const std::vector<std::byte> many(61);
      return sink(many);
    };
    expected = "more than its 60 bytes";
  }
  SECTION("tensors whose padded sizes wrap") {
    const Shape half{std::uint64_t{1} << 62};
    plan.tensors[0].type = plan.tensors[2].type = Type::f16;
    plan.tensors[0].shape = plan.tensors[2].shape = half;
    expected = "larger than 64 bits";
  }
  SECTION("a tensor within its padding of the largest number") {
    plan.tensors[0].type = Type::i8;
    plan.tensors[0].shape = {~std::uint64_t{0} - 3};
    expected = "larger than 64 bits";
  }
  SECTION("a file that would leave its folder") {
    plan.files["../evil"] = "x";
    expected = "names a folder";
  }
  SECTION("a tensor name with a line break") {
    plan.tensors[0].name = "a\nb";
    expected = "control character";
  }
  const auto written = write_apr(path, plan, false);
  REQUIRE_FALSE(written.ok());
  CHECK_THAT(written.error().to_string(), Contains(expected));
  CHECK(std::filesystem::is_empty(scratch.root()));
}

TEST_CASE("an existing output stays unless it may be replaced") {
  const test::Scratch scratch;
  const std::string path = scratch.path("out.apr");
  test::write(path, "mine");
  const auto refused = write_apr(path, small_plan(), false);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::validation);
  CHECK_THAT(refused.error().to_string(), Contains("--force"));
  CHECK(test::read(path) == "mine");
  REQUIRE(write_apr(path, small_plan(), true).ok());
  CHECK(problems(path) == 0);
}

TEST_CASE("metadata is written under canonical keys only, in order") {
  const test::Scratch scratch;
  const std::string path = scratch.path("out.apr");
  PackagePlan plan = small_plan();
  plan.metadata = Json::object({{"zebra", 1},
                                {"n_head", 4},
                                {"hidden_size", 8},
                                {"n_embd", 9},
                                {"name", "x"},
                                {"custom", Json()},
                                {"rope_theta", Json()}});
  REQUIRE(write_apr(path, plan, false).ok());
  const auto bytes = test::read(path);
  const auto header = read_apr_header(as_bytes(bytes), "x");
  REQUIRE(header.ok());
  const std::string text = bytes.substr(header->metadata_offset, header->metadata_size);
  CHECK_THAT(text, Catch::Matchers::StartsWith(
                       "{\"model_type\":\"unknown\",\"name\":\"x\",\"license\":null,"
                       "\"data_source\":null,\"data_license\":null,\"total_size\":"));
  CHECK_THAT(text, Contains("\"hidden_size\":8,\"num_heads\":4,\"custom\":null,\"tensor_"));
  CHECK_THAT(text, Catch::Matchers::EndsWith("\"zebra\":1}"));
  CHECK_THAT(text, !Contains("n_embd") && !Contains("n_head") && !Contains("rope_theta"));
}

TEST_CASE("Package::from checks what readers hand it") {
  const auto tensor = std::make_shared<Tensor>();
  tensor->shape = {2, 2};
  tensor->data.resize(16);
  Package::Parts parts;
  parts.path = "memory";
  parts.owned.push_back(tensor);
  parts.tensors.push_back({"b", tensor->view(), {}});
  parts.tensors.push_back({"a", tensor->view(), "b"});
  std::string expected;
  SECTION("sound") {
    const auto package = Package::from(std::move(parts));
    REQUIRE(package.ok());
    CHECK(package->tensors()[0].name == "a");
    CHECK(package->parameter_count() == 4);
    CHECK(package->find("c") == nullptr);
    return;
  }
  SECTION("twice") {
    parts.tensors.push_back({"a", tensor->view(), {}});
    expected = "exists twice";
  }
  SECTION("wrong size") {
    parts.tensors[0].view.shape = {2, 3};
    expected = "needs 24";
  }
  SECTION("alias of nothing") {
    parts.tensors[1].alias_of = "c";
    expected = "stores none";
  }
  const auto package = Package::from(std::move(parts));
  REQUIRE_FALSE(package.ok());
  if (expected == "needs 24") expected = "need 24";
  CHECK_THAT(package.error().to_string(), Contains(expected));
}
