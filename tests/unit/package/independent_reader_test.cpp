// A reader written from docs/format.md in another language agrees with what was written, and our
// reader agrees with files that such a writer makes.
#include <catch2/catch.hpp>

#include "core/base/cat.h"
#include "core/package/write.h"
#include "tests/unit/package/support.h"

using namespace apr;

namespace {

std::string listed_by_python(const std::string& path) {
  return test::run("python3 " APR_SOURCE_DIR "/tests/unit/package/read_apr.py " + path);
}

std::string listed_by_us(const Package& package) {
  std::string text = cat("root ", package.content_root()->hex(), "\n");
  for (const auto& [name, content] : package.files()) {
    text += cat("file ", name, " ", sha256(content).hex(), "\n");
  }
  for (const TensorEntry& entry : package.tensors()) {
    text += cat("tensor ", entry.name, " ", name_of(entry.view.type), " ",
                entry.view.shape.to_string(), " ", sha256(entry.view.data).hex(), "\n");
  }
  return text;
}

}  // namespace

TEST_CASE("a reader made from the documentation reads what we write") {
  const test::Scratch scratch;
  for (const std::string& source : {test::kTinyChat, test::shared("stories260K")}) {
    if (source.empty()) continue;
    const auto package = test::import(source);
    REQUIRE(package.ok());
    REQUIRE(write_apr(scratch.path("m.apr"), plan_copy(*package), true).ok());
    const auto opened = open_apr(scratch.path("m.apr"));
    REQUIRE(opened.ok());
    CHECK(listed_by_python(scratch.path("m.apr")) == listed_by_us(*opened));
  }
}

TEST_CASE("we read and verify what a writer made from the documentation writes") {
  const test::Scratch scratch;
  test::run("python3 " APR_SOURCE_DIR "/tests/fuzz/make_seeds.py " APR_SOURCE_DIR " " +
            scratch.path("seeds"));
  const auto full = open_apr(scratch.path("seeds/apr_reader/full"));
  REQUIRE(full.ok());
  CHECK(full->trust_problem().empty());
  CHECK(listed_by_python(scratch.path("seeds/apr_reader/full")) == listed_by_us(*full));
  CHECK(full->find("lm_head.weight")->alias_of == "model.embed_tokens.weight");
  for (const char* name : {"full", "no-files", "upstream", "no-footer", "scalar"}) {
    const auto verified = verify_apr(scratch.path(cat("seeds/apr_reader/", name)));
    INFO(name);
    REQUIRE(verified.ok());
    CHECK(verified->problems.empty());
    CHECK(verified->trust_section ==
          (name != std::string("upstream") && name != std::string("no-footer")));
    CHECK(verified->footer_present == (name != std::string("no-footer")));
  }
}
