#include "core/base/json.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "core/base/cat.h"

using namespace apr;
using Catch::Matchers::Contains;

namespace {

Json parsed(std::string_view text, const JsonLimits& limits = {}) {
  auto json = parse_json(text, "", limits);
  INFO(text);
  REQUIRE(json.ok());
  return *std::move(json);
}

Error refused(std::string_view text, const JsonLimits& limits = {}) {
  auto json = parse_json(text, "file.json", limits);
  INFO(text);
  REQUIRE_FALSE(json.ok());
  CHECK(json.error().code == ErrorCode::format);
  CHECK_FALSE(json.error().message.empty());
  return json.error();
}

}  // namespace

TEST_CASE("values of every kind are read and keep their order") {
  const Json json = parsed(R"( {"b": [1, -2, 3.5, true, null], "a": {"x": "yé\n"}, "": {}} )");
  CHECK(json.size() == 3);
  CHECK(json.as_object()[0].first == "b");
  CHECK(json.as_object()[1].first == "a");
  const JsonArray& array = json["b"].as_array();
  CHECK(array[0].kind() == Json::Kind::integer);
  CHECK(array[1].as_integer() == -2);
  CHECK(array[2].kind() == Json::Kind::number);
  CHECK(array[2].as_number() == 3.5);
  CHECK(array[3].as_boolean());
  CHECK(array[4].is_null());
  CHECK(json["a"]["x"].as_string() == "y\xC3\xA9\n");
  CHECK(json["missing"]["deeper"].is_null());
  CHECK(json.dump() == "{\"b\":[1,-2,3.5,true,null],\"a\":{\"x\":\"y\xC3\xA9\\n\"},\"\":{}}");
}

TEST_CASE("readers fall back when the kind does not fit") {
  const Json text("x");
  CHECK(text.as_integer(7) == 7);
  CHECK(text.as_boolean(true));
  CHECK(text.as_number(0.5) == 0.5);
  CHECK(text.as_array().empty());
  CHECK(text.as_object().empty());
  CHECK(Json(3).as_string().empty());
  CHECK(Json(3).as_number() == 3.0);
  CHECK(Json(2.0).as_integer(9) == 9);
}

TEST_CASE("whole numbers keep every bit, larger ones become doubles") {
  CHECK(parsed("9223372036854775807").as_integer() == std::numeric_limits<std::int64_t>::max());
  CHECK(parsed("-9223372036854775808").as_integer() == std::numeric_limits<std::int64_t>::min());
  CHECK(parsed("9223372036854775808").kind() == Json::Kind::number);
  CHECK(parsed("18446744073709551616").as_number() == 18446744073709551616.0);
  CHECK(Json(std::uint64_t{1} << 63).kind() == Json::Kind::number);
  CHECK(Json(std::size_t{5}).as_integer() == 5);
  CHECK(parsed("9007199254740993").dump() == "9007199254740993");
}

TEST_CASE("numbers print in their shortest exact form and stay numbers") {
  CHECK(Json(0.1).dump() == "0.1");
  CHECK(Json(1.0).dump() == "1.0");
  CHECK(Json(-0.0).dump() == "-0.0");
  CHECK(Json(1e300).dump() == "1e+300");
  CHECK(Json(5e-324).dump() == "5e-324");
  CHECK(Json(std::nan("")).dump() == "null");
  CHECK(Json(std::numeric_limits<double>::infinity()).dump() == "null");
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    const Json again = parsed(Json(value).dump());
    REQUIRE(again.kind() == Json::Kind::number);
    REQUIRE(std::bit_cast<std::uint64_t>(again.as_number()) == std::bit_cast<std::uint64_t>(value));
  }
}

TEST_CASE("errors say where") {
  CHECK(refused("{\"a\": 1,\n \"b\": }").context == "file.json:2:7");
  CHECK(refused("").to_string() == "file.json: is empty");
  CHECK(refused(" \n").to_string() == "file.json: holds nothing but blanks");
  CHECK(refused("[1, 2").context == "file.json:1:6");
  CHECK_THAT(refused("{\"a\": 1,\n\n  \"a\": 2}").to_string(),
             Contains("file.json:3:3") && Contains("\"a\" appears twice"));
  CHECK(parse_json("x").error().context == "line 1:1");
}

TEST_CASE("what is not JSON is refused") {
  for (const std::string_view text : {"{",
                                      "}",
                                      "[1,]",
                                      "{\"a\"}",
                                      "{a:1}",
                                      "01",
                                      "+1",
                                      "1.",
                                      ".5",
                                      "nul",
                                      "'a'",
                                      "\"\\x\"",
                                      "\"\t\"",
                                      "[1] 2",
                                      "{} {}",
                                      "// c\n1",
                                      "1e400",
                                      "-1e400",
                                      "\"\\ud800\"",
                                      "\"\xff\"",
                                      "\"\xc0\xaf\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"abc",
                                      "NaN",
                                      "Infinity",
                                      "\xff\xfe{}"}) {
    refused(text);
  }
  CHECK_THAT(refused(std::string_view("{}\0{}", 5)).to_string(), Contains("NUL"));
}

TEST_CASE("limits stop hostile texts") {
  JsonLimits limits;
  limits.max_depth = 10;
  CHECK(parsed(std::string(10, '[') + std::string(10, ']'), limits).is_array());
  CHECK_THAT(refused(std::string(11, '[') + std::string(11, ']'), limits).message,
             Contains("deeper than 10"));
  CHECK_THAT(refused(std::string(10'000'000, '[')).message, Contains("deeper than 64"));
  limits.max_values = 5;
  CHECK_THAT(refused("[1,2,3,4,5,6]", limits).message, Contains("more than 5"));
  limits.max_bytes = 4;
  CHECK_THAT(refused("[1,2]", limits).message, Contains("at most 4"));
}

TEST_CASE("duplicate keys: an error, or the last one wins in the place of the first") {
  refused(R"({"a": {"b": 1, "c": 2, "b": 3}})");
  refused(R"({"a": 1, "\u0061": 2})");
  JsonLimits limits;
  limits.last_duplicate_wins = true;
  CHECK(parsed(R"({"a":1,"b":2,"a":3,"c":4,"a":5,"b":6})", limits).dump() ==
        R"({"a":5,"b":6,"c":4})");
}

TEST_CASE("many keys take no quadratic time") {
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) text += cat(i > 0 ? "," : "", "\"key", i, "\":", i);
  text += "}";
  CHECK(parsed(text).size() == 300'000);
  text.back() = ',';
  text += "\"key7\":0}";
  CHECK_THAT(refused(text).message, Contains("key7"));
}

TEST_CASE("strings are written as valid UTF-8 whatever they hold") {
  CHECK(Json("a\"\\\b\f\n\r\t\x01\x7f").dump() == "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\x7f\"");
  CHECK(Json("\xff|\xe2\x82|\xf0\x9f\x98\x80").dump() ==
        "\"\xEF\xBF\xBD|\xEF\xBF\xBD\xEF\xBF\xBD|\xF0\x9F\x98\x80\"");
  CHECK(parsed("\"\\ud83d\\ude00\\u0000\"").as_string() == std::string("\xF0\x9F\x98\x80\0", 5));
}

TEST_CASE("indented text reads back the same") {
  const Json json = parsed(R"({"a":[],"b":{},"c":[1,{"d":[2]}]})");
  CHECK(json.dump(2) ==
        "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    {\n      \"d\": [\n        2\n"
        "      ]\n    }\n  ]\n}");
  CHECK(parsed(json.dump(2)) == json);
}

TEST_CASE("members are set, replaced and erased") {
  Json json;
  json.set("a", 1).set("ignored", 2);  // set() returns the member
  CHECK(json["a"].is_object());
  json.set("a", 5);
  json.set("b", "x");
  CHECK(json.dump() == R"({"a":5,"b":"x"})");
  CHECK(json.erase("a"));
  CHECK_FALSE(json.erase("a"));
  Json list;
  list.push_back(1);
  list.push_back(Json::object());
  CHECK(list.dump() == "[1,{}]");
}
