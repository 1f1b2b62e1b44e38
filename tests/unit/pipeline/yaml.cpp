// The YAML reader: what it reads, what it refuses, and where.
#include "orchestrator/pipeline/yaml.h"

#include <catch2/catch.hpp>
#include <string>

using namespace apr;
using namespace apr::pipeline;

namespace {

std::string refusal(std::string_view text, const YamlLimits& limits = {}) {
  const auto parsed = parse_yaml(text, "p.yaml", limits);
  return parsed ? "accepted" : parsed.error().context + " | " + parsed.error().message;
}

YamlNode read(std::string_view text) {
  auto parsed = parse_yaml(text, "p.yaml");
  INFO(text);
  REQUIRE(parsed.ok());
  return *std::move(parsed);
}

}  // namespace

TEST_CASE("YAML becomes a tree with places") {
  const YamlNode root = read(
      "name: demo\n"
      "list: [1, -2.5e3, true, null, ~, 'x', \"y z\"]\n"
      "map:\n"
      "  inner: |\n"
      "    two\n"
      "    lines\n"
      "  empty:\n");
  REQUIRE(root.kind == YamlNode::Kind::map);
  CHECK(root.members[0].key == "name");
  CHECK(root.members[0].at == Position{1, 1});
  CHECK(root.members[0].value.at == Position{1, 7});
  CHECK(root.members[0].value.text_column == 7);
  const YamlNode& list = root.find("list")->value;
  REQUIRE(list.items.size() == 7);
  CHECK(list.items[0].to_json() == Json(1));
  CHECK(list.items[1].to_json() == Json(-2500.0));
  CHECK(list.items[2].to_json() == Json(true));
  CHECK(list.items[3].to_json().is_null());
  CHECK(list.items[4].to_json().is_null());
  CHECK(list.items[5].to_json() == Json("x"));
  CHECK(list.items[6].to_json() == Json("y z"));
  CHECK(list.items[6].text_column == 40);
  const YamlNode& map = root.find("map")->value;
  CHECK(map.find("inner")->value.text == "two\nlines\n");
  CHECK(map.find("inner")->value.text_column == 0);
  CHECK(map.find("empty")->at == Position{7, 3});
  CHECK(map.find("empty")->value.kind == YamlNode::Kind::null);
}

TEST_CASE("Only true and false are booleans, only JSON's numbers are numbers") {
  for (const char* word :
       {"yes", "no", "on", "off",   "y",    "n",    "True", "FALSE", "010", "0x1f",
        "+1",  ".5", "5.", "1_000", ".inf", ".nan", "1e",   "12:30", "0o7", "-"}) {
    const YamlNode root = read(std::string("k: ") + (std::string(word) == "-" ? "'-'" : word));
    INFO(word);
    CHECK(root.find("k")->value.kind == YamlNode::Kind::text);
    CHECK(root.find("k")->value.text == word);
  }
  CHECK(read("k: 0").find("k")->value.kind == YamlNode::Kind::integer);
  CHECK(read("k: -0.5").find("k")->value.kind == YamlNode::Kind::number);
  CHECK(read("k: 1e-3").find("k")->value.kind == YamlNode::Kind::number);
  CHECK(read("k: '12'").find("k")->value.kind == YamlNode::Kind::text);
  CHECK(read("k: \"true\"").find("k")->value.kind == YamlNode::Kind::text);
  // Beyond 64 bits it is a number, beyond double it is refused.
  CHECK(read("k: 99999999999999999999").find("k")->value.kind == YamlNode::Kind::number);
  CHECK(refusal("k: 1e999") == "p.yaml:1:4 | the number 1e999 is out of range");
}

TEST_CASE("What is not part of pipeline YAML is refused with its place") {
  CHECK(refusal("a: 1\nb: 2\na: 3\n") ==
        "p.yaml:3:1 | the key 'a' appears twice; it was first given in line 1");
  CHECK(refusal("x: {a: 1, a: 2}") ==
        "p.yaml:1:11 | the key 'a' appears twice; it was first given in line 1");
  CHECK(refusal("a: &anchor 1\n") == "p.yaml:1:4 | an anchor (&anchor)");
  CHECK(refusal("a: &x {b: 1}\nc: *x\n") == "p.yaml:1:4 | an anchor (&x)");
  CHECK(refusal("a: !!str 1\n") == "p.yaml:1:4 | a tag (tag:yaml.org,2002:str)");
  CHECK(refusal("a: !custom [1]\n") == "p.yaml:1:4 | a tag (!custom)");
  CHECK(refusal("<<: {a: 1}\n") == "p.yaml:1:1 | a merge key (<<)");
  CHECK(refusal("a: 1\n---\nb: 2\n").find("a second YAML document") != std::string::npos);
  CHECK(refusal("[a, b]: 1\n").find("a key that is a list or a map") != std::string::npos);
  CHECK(refusal("? {a: 1}\n: 2\n").find("a key that is a list or a map") != std::string::npos);
  CHECK(refusal("~: 1\n") == "p.yaml:1:1 | an empty key");
  CHECK(refusal("") == "p.yaml:1:1 | the file is empty");
  CHECK(refusal("# only a remark\n") == "p.yaml:1:1 | the file is empty");
}

TEST_CASE("Broken YAML is one error with its place") {
  for (const char* text : {"a: [1, 2", "a: {b: 1", "a: 'x", "a: \"x\\q\"", "a: b: c", "- a\nb: 1",
                           "a: |\n x\n  y\n z: 1\n- q", "a:\n\t- b", "{", "]", "a: @b",
                           "%YAML 9.9\n---\na: 1", "a: *nothing", "key: value\n  bad: indent"}) {
    const std::string told = refusal(text);
    INFO(text << " -> " << told);
    CHECK(told != "accepted");
    CHECK(told.starts_with("p.yaml:"));
  }
  const auto tabs = parse_yaml("a:\n\tb: 1\n", "p.yaml");
  REQUIRE(!tabs.ok());
  CHECK(tabs.error().code == ErrorCode::format);
  CHECK(tabs.error().hint == "YAML is indented with spaces, not with tabs");
}

TEST_CASE("Bytes that are no text are refused") {
  CHECK(refusal("a: \xff\n") == "p.yaml:1:4 | a byte that is not UTF-8");
  CHECK(refusal("a: \xc0\xaf\n") == "p.yaml:1:4 | a byte that is not UTF-8");
  CHECK(refusal("a: \xed\xa0\x80\n") == "p.yaml:1:4 | a byte that is not UTF-8");
  CHECK(refusal(std::string_view("a: \0b\n", 7)) == "p.yaml:1:4 | a control character");
  CHECK(refusal("a: 1\nb: \x1b[31m\n") == "p.yaml:2:4 | a control character");
  CHECK(read("\xef\xbb\xbfname: x\n").find("name")->value.text == "x");
  CHECK(read("name: \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n").find("name")->value.text ==
        "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
}

TEST_CASE("Limits hold: size, depth, count") {
  YamlLimits limits;
  limits.max_bytes = 100;
  CHECK(refusal(std::string(101, ' '), limits).find("101 bytes") != std::string::npos);
  const std::string deep = std::string(40, '[') + std::string(40, ']');
  CHECK(refusal("a: " + deep).find("nested deeper than 32 levels") != std::string::npos);
  CHECK(refusal("a: " + std::string(100'000, '[')).find("p.yaml:") == 0);
  CHECK(refusal("a: " + std::string(100'000, '{')).find("p.yaml:") == 0);
  std::string blocks;
  for (int i = 0; i < 2000; ++i) blocks += "- ";
  CHECK(refusal(blocks + "x").find("nested deeper") != std::string::npos);
  std::string many = "a: [";
  for (int i = 0; i < 30'000; ++i) many += "1,";
  CHECK(refusal(many + "1]").find("more than 20000 values") != std::string::npos);
  std::string keys;
  for (int i = 0; i < 9'000; ++i) keys += "k" + std::to_string(i) + ": 1\n";
  CHECK(refusal(keys) == "accepted");
}
