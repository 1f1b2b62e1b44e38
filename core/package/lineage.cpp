#include "core/package/lineage.h"

#include <algorithm>

#include "core/base/cat.h"

namespace apr {

namespace {

Error bad_lineage(std::string_view message) {
  return make_error(ErrorCode::format, cat("the LINEAGE section ", message));
}

Result<LineageRecord::Input> decode_input(const Json& json) {
  const auto digest = Digest::from_hex(json["sha256"].as_string());
  if (!json["name"].is_string() || !digest) {
    return bad_lineage("has an input without a name and a SHA-256");
  }
  return LineageRecord::Input{json["name"].as_string(), *digest};
}

}  // namespace

// As deep as the value, which parse_json() limited or the program built.
Json canonical_json(const Json& value) {
  if (value.is_array()) {
    JsonArray elements;
    for (const Json& element : value.as_array()) elements.push_back(canonical_json(element));
    return elements;
  }
  if (!value.is_object()) return value;
  JsonObject members;
  for (const auto& [key, member] : value.as_object())
    members.emplace_back(key, canonical_json(member));
  std::ranges::sort(members, {}, &JsonMember::first);
  return members;
}

std::string encode_lineage(std::span<const LineageRecord> records) {
  JsonArray steps;
  for (const LineageRecord& record : records) {
    JsonArray inputs;
    for (const LineageRecord::Input& input : record.inputs) {
      inputs.push_back(Json::object({{"name", input.name}, {"sha256", input.digest.hex()}}));
    }
    steps.push_back(Json::object({{"stage", record.stage},
                                  {"tool", record.tool},
                                  {"plugin", record.plugin},
                                  {"parameters", canonical_json(record.parameters)},
                                  {"inputs", Json(std::move(inputs))}}));
  }
  return Json::object({{"lineage", Json(std::move(steps))}}).dump();
}

Result<std::vector<LineageRecord>> decode_lineage(std::string_view text) {
  JsonLimits limits;
  limits.max_values = 1'000'000;
  APR_ASSIGN(const Json document, parse_json(text, "LINEAGE", limits));
  if (!document["lineage"].is_array()) return bad_lineage("holds no list of records");
  std::vector<LineageRecord> records;
  for (const Json& step : document["lineage"].as_array()) {
    LineageRecord record;
    if (!step["stage"].is_string() || !step["parameters"].is_object()) {
      return bad_lineage("has a record without a stage or parameters");
    }
    record.stage = step["stage"].as_string();
    record.tool = step["tool"].as_string();
    record.plugin = step["plugin"].as_string();
    record.parameters = step["parameters"];
    for (const Json& input : step["inputs"].as_array()) {
      APR_ASSIGN(LineageRecord::Input decoded, decode_input(input));
      record.inputs.push_back(std::move(decoded));
    }
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace apr
