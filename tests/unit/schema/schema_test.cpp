#include "orchestrator/schema/schema.h"

#include <catch2/catch.hpp>

using apr::check_param;
using apr::check_params;
using apr::ErrorCode;
using apr::Json;
using apr::JsonArray;
using apr::Param;
using apr::ParamType;
using apr::parse_param;

namespace {

Param param_of(ParamType type) {
  Param param;
  param.name = "p";
  param.type = type;
  return param;
}

Param ranged(ParamType type, double low, double high) {
  Param param = param_of(type);
  param.minimum = low;
  param.maximum = high;
  return param;
}

}  // namespace

TEST_CASE("sizes have decimal and binary units") {
  const Param param = param_of(ParamType::bytes);
  const std::pair<const char*, std::int64_t> cases[] = {
      {"0", 0},
      {"4096", 4096},
      {"1B", 1},
      {"2kB", 2000},
      {"2KB", 2000},
      {"350MB", 350'000'000},
      {"1.5GB", 1'500'000'000},
      {"1KiB", 1024},
      {"350MiB", 367'001'600},
      {"2 GiB", 2'147'483'648},
      {"0.5KiB", 512},
      {"1TiB", 1'099'511'627'776},
  };
  for (const auto& [text, bytes] : cases) {
    CAPTURE(text);
    const auto value = parse_param(param, text);
    REQUIRE(value);
    CHECK(value->as_integer() == bytes);
  }
  for (const char* text :
       {"", "M", "5M", "-1", "1.2.3MB", "MiB", "5 parsecs", "nan", "1e3", "99999999999TiB"}) {
    CAPTURE(text);
    const auto value = parse_param(param, text);
    REQUIRE_FALSE(value);
    CHECK(value.error().code == ErrorCode::usage);
    CHECK(value.error().context == "p");
  }
}

TEST_CASE("sizes may be numbers or texts in YAML") {
  const Param param = param_of(ParamType::bytes);
  CHECK(check_param(param, Json(12))->as_integer() == 12);
  CHECK(check_param(param, Json("12KiB"))->as_integer() == 12288);
  CHECK_FALSE(check_param(param, Json(-1)));
  CHECK_FALSE(check_param(param, Json(1.5)));
}

TEST_CASE("whole numbers are read whole or refused") {
  const Param param = param_of(ParamType::integer);
  CHECK(parse_param(param, "-7")->as_integer() == -7);
  CHECK(parse_param(param, "+7")->as_integer() == 7);
  CHECK(check_param(param, Json(3.0))->as_integer() == 3);
  for (const char* text : {"", "7x", "x7", "1.5", "0x10", " 1", "9223372036854775808", "--1"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_param(param, text));
  }
  CHECK_FALSE(check_param(param, Json(3.5)));
  CHECK_FALSE(check_param(param, Json("3")));
  CHECK_FALSE(check_param(param, Json(true)));
}

TEST_CASE("numbers are finite: a NaN limit would switch a check off") {
  const Param param = param_of(ParamType::number);
  CHECK(parse_param(param, "-0.5")->as_number() == -0.5);
  CHECK(parse_param(param, "1e-4")->as_number() == 1e-4);
  CHECK(parse_param(param, "3")->as_number() == 3);
  for (const char* text : {"nan", "inf", "-inf", "1e999", "", "1,5"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_param(param, text));
  }
}

TEST_CASE("ranges are inclusive and named in the error") {
  const Param param = ranged(ParamType::integer, 1, 4);
  CHECK(parse_param(param, "1"));
  CHECK(parse_param(param, "4"));
  const auto low = parse_param(param, "0");
  REQUIRE_FALSE(low);
  CHECK(low.error().message == "must be between 1 and 4, not 0");
  Param open = param_of(ParamType::number);
  open.minimum = 0.25;
  CHECK(parse_param(open, "0").error().message == "must be at least 0.25, not 0");
}

TEST_CASE("a choice suggests the nearest one") {
  Param param = param_of(ParamType::choice);
  param.choices = {"text", "json", "yaml"};
  CHECK(parse_param(param, "json"));
  const auto typo = parse_param(param, "jsno");
  REQUIRE_FALSE(typo);
  CHECK(typo.error().hint == "did you mean 'json'?");
  const auto other = parse_param(param, "protobuf");
  REQUIRE_FALSE(other);
  CHECK(other.error().hint.empty());
  CHECK(other.error().message.find("text, json, yaml") != std::string::npos);
}

TEST_CASE("text is never made out of numbers behind the author's back") {
  const auto wrong = check_param(param_of(ParamType::text), Json(1.1));
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().hint == "put it in quotes: \"1.1\"");
  CHECK_FALSE(check_param(param_of(ParamType::text), Json()));
}

TEST_CASE("lists take one text or many") {
  const Param param = param_of(ParamType::texts);
  CHECK(check_param(param, Json("a"))->size() == 1);
  CHECK(check_param(param, Json(JsonArray{Json("a"), Json("b")}))->size() == 2);
  CHECK_FALSE(check_param(param, Json(JsonArray{Json("a"), Json(1)})));
}

TEST_CASE("booleans are true or false and nothing else") {
  const Param param = param_of(ParamType::boolean);
  CHECK(parse_param(param, "true")->as_boolean());
  CHECK_FALSE(parse_param(param, "false")->as_boolean(true));
  CHECK_FALSE(parse_param(param, "yes"));
  CHECK_FALSE(check_param(param, Json(1)));
  CHECK_FALSE(check_param(param, Json("true")));
}

TEST_CASE("a whole object: defaults, order, required and unknown names") {
  std::vector<Param> params(3);
  params[0].name = "model";
  params[0].required = true;
  params[1].name = "window";
  params[1].type = ParamType::integer;
  params[1].fallback = Json(256);
  params[1].aliases = {"size"};
  params[2].name = "note";

  const auto good = check_params(params, Json::object({{"window", 8}, {"model", "m"}}));
  REQUIRE(good);
  CHECK(good->json().dump() == R"({"model":"m","window":8})");
  CHECK_FALSE(good->has("note"));
  CHECK(good->text("note").empty());

  CHECK(check_params(params, Json::object({{"model", "m"}}))->integer("window") == 256);
  CHECK(check_params(params, Json::object({{"model", "m"}, {"size", 9}}))->integer("window") == 9);

  const auto twice =
      check_params(params, Json::object({{"model", "m"}, {"size", 9}, {"window", 8}}));
  REQUIRE_FALSE(twice);
  CHECK(twice.error().message == "is given twice");

  const auto missing = check_params(params, Json::object());
  REQUIRE_FALSE(missing);
  CHECK(missing.error().context == "model");
  CHECK(missing.error().message == "is required");

  const auto unknown = check_params(params, Json::object({{"model", "m"}, {"windwo", 8}}));
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().hint == "did you mean 'window'?");
}

TEST_CASE("nearest finds typing mistakes and nothing far away") {
  const std::vector<std::string> words = {"import", "inspect", "plugins list"};
  CHECK(apr::nearest("inspct", words) == "inspect");
  CHECK(apr::nearest("ipmort", words) == "import");
  CHECK(apr::nearest("serve", words).empty());
  CHECK(apr::nearest("", words).empty());
}
