#include "orchestrator/stages/canary_file.h"

#include <algorithm>
#include <cmath>

#include "core/base/cat.h"
#include "core/base/hash.h"
#include "core/platform/file.h"

namespace apr {

namespace {

constexpr std::string_view kFormat = "apr-canary";
constexpr std::int64_t kVersion = 2;
constexpr std::int64_t kWithoutSetup = 1;
constexpr std::uint64_t kLargestFile = std::uint64_t{256} << 20;

template <typename Number>
Json list_of(const std::vector<Number>& numbers) {
  Json list = Json::array();
  for (const Number number : numbers) list.push_back(number);
  return list;
}

/// Reads one object's fields and remembers where it is.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  Error wrong(std::string_view key, std::string_view wanted) const {
    return make_error(ErrorCode::format, cat("field ", key, " is not ", wanted), where_,
                      "the file is no canary of `apr canary create`, or was changed");
  }
  Result<std::string> text(std::string_view key) const {
    const Json& value = object_[key];
    if (!value.is_string()) return wrong(key, "a text");
    return value.as_string();
  }
  Result<std::string> digest(std::string_view key) const {
    const Json& value = object_[key];
    if (!Digest::from_hex(value.as_string())) return wrong(key, "a SHA-256");
    return value.as_string();
  }
  Result<std::uint64_t> count(std::string_view key) const {
    const Json& value = object_[key];
    if (!value.is_integer() || value.as_integer() < 0) return wrong(key, "a count");
    return static_cast<std::uint64_t>(value.as_integer());
  }
  Result<double> number(std::string_view key) const {
    const Json& value = object_[key];
    if (!value.is_number()) return wrong(key, "a number");
    return value.as_number();
  }
  template <typename Number>
  Result<std::vector<Number>> numbers(std::string_view key) const {
    const Json& value = object_[key];
    if (!value.is_array()) return wrong(key, "a list of numbers");
    std::vector<Number> list;
    for (const Json& item : value.as_array()) {
      if constexpr (std::is_floating_point_v<Number>) {
        if (!item.is_number()) return wrong(key, "a list of numbers");
        list.push_back(item.as_number());
      } else {
        if (!item.is_integer() || item.as_integer() < 0 || item.as_integer() > INT32_MAX) {
          return wrong(key, "a list of counts");
        }
        list.push_back(static_cast<Number>(item.as_integer()));
      }
    }
    return list;
  }

 private:
  const Json& object_;
  std::string where_;
};

Result<CanaryTensor> read_tensor(const Json& json, const std::string& where) {
  const Fields fields(json, where);
  CanaryTensor tensor;
  APR_ASSIGN(tensor.name, fields.text("name"));
  APR_ASSIGN(tensor.type, fields.text("type"));
  APR_ASSIGN(tensor.shape, fields.numbers<std::uint64_t>("shape"));
  APR_ASSIGN(tensor.sha256, fields.digest("sha256"));
  APR_ASSIGN(tensor.statistics.mean, fields.number("mean"));
  APR_ASSIGN(tensor.statistics.deviation, fields.number("std"));
  APR_ASSIGN(tensor.statistics.minimum, fields.number("min"));
  APR_ASSIGN(tensor.statistics.maximum, fields.number("max"));
  return tensor;
}

Result<CanaryPrompt> read_prompt(const Json& json, const std::string& where) {
  const Fields fields(json, where);
  CanaryPrompt prompt;
  if (!json["text"].is_null()) {
    APR_ASSIGN(prompt.text, fields.text("text"));
  }
  APR_ASSIGN(prompt.ids, fields.numbers<TokenId>("ids"));
  APR_ASSIGN(prompt.digest, fields.digest("sha256"));
  APR_ASSIGN(prompt.features, fields.count("features"));
  APR_ASSIGN(prompt.sample, fields.numbers<double>("sample"));
  APR_ASSIGN(prompt.top, fields.numbers<std::uint64_t>("top"));
  APR_ASSIGN(prompt.top_values, fields.numbers<double>("top_values"));
  APR_ASSIGN(prompt.row_rms, fields.numbers<double>("row_rms"));
  if (prompt.ids.empty()) return fields.wrong("ids", "a list of at least one id");
  if (prompt.sample.empty() || prompt.sample.size() > prompt.features) {
    return fields.wrong("sample", "a list of 1 to `features` numbers");
  }
  const auto outside = [&](std::uint64_t index) { return index >= prompt.features; };
  if (prompt.top.size() != prompt.top_values.size() || std::ranges::any_of(prompt.top, outside)) {
    return fields.wrong("top", "a list of indexes below `features`, one for each of `top_values`");
  }
  if (prompt.row_rms.size() != prompt.ids.size()) {
    return fields.wrong("row_rms", "a list of one number per id");
  }
  return prompt;
}

}  // namespace

Json canary_as_json(const Canary& canary) {
  Json tensors = Json::array();
  for (const CanaryTensor& tensor : canary.tensors) {
    tensors.push_back(Json::object({{"name", tensor.name},
                                    {"type", tensor.type},
                                    {"shape", list_of(tensor.shape)},
                                    {"sha256", tensor.sha256},
                                    {"mean", tensor.statistics.mean},
                                    {"std", tensor.statistics.deviation},
                                    {"min", tensor.statistics.minimum},
                                    {"max", tensor.statistics.maximum}}));
  }
  Json prompts = Json::array();
  for (const CanaryPrompt& prompt : canary.prompts) {
    prompts.push_back(Json::object({{"text", prompt.text ? Json(*prompt.text) : Json()},
                                    {"ids", list_of(prompt.ids)},
                                    {"sha256", prompt.digest},
                                    {"features", prompt.features},
                                    {"sample", list_of(prompt.sample)},
                                    {"top", list_of(prompt.top)},
                                    {"top_values", list_of(prompt.top_values)},
                                    {"row_rms", list_of(prompt.row_rms)}}));
  }
  return Json::object({{"format", kFormat},
                       {"version", kVersion},
                       {"tool", canary.tool},
                       {"computed_by", canary.computed_by},
                       {"model_name", canary.model_name},
                       {"architecture", canary.architecture},
                       {"content_root", canary.content_root},
                       {"kind", canary.kind},
                       {"frames", canary.frames},
                       {"setup", setup_as_json(canary.setup.value_or(CanarySetup{}))},
                       {"tensor_count", std::uint64_t{canary.tensors.size()}},
                       {"prompts", std::move(prompts)},
                       {"tensors", std::move(tensors)}});
}

Result<Canary> read_canary(const std::string& path) {
  auto text = read_file(path, kLargestFile);
  if (!text) {
    Error error = std::move(text).error();
    if (error.hint.empty()) error.hint = "make one with `apr canary create MODEL -o FILE`";
    return error;
  }
  APR_ASSIGN(const Json json, parse_json(*text, path));
  const std::int64_t version = json["version"].as_integer();
  if (json["format"].as_string() != kFormat || (version != kVersion && version != kWithoutSetup)) {
    return make_error(ErrorCode::format, "is not a canary that this version reads", path,
                      "make one with `apr canary create MODEL -o FILE`");
  }
  const Fields fields(json, path);
  Canary canary;
  APR_ASSIGN(canary.tool, fields.text("tool"));
  APR_ASSIGN(canary.computed_by, fields.text("computed_by"));
  APR_ASSIGN(canary.model_name, fields.text("model_name"));
  APR_ASSIGN(canary.architecture, fields.text("architecture"));
  APR_ASSIGN(canary.content_root, fields.text("content_root"));
  APR_ASSIGN(canary.kind, fields.text("kind"));
  APR_ASSIGN(canary.frames, fields.count("frames"));
  if (version != kWithoutSetup) {
    APR_ASSIGN(canary.setup, read_setup(json["setup"], path));
  }
  APR_ASSIGN(const std::uint64_t count, fields.count("tensor_count"));
  for (const Json& tensor : json["tensors"].as_array()) {
    APR_ASSIGN(CanaryTensor read,
               read_tensor(tensor, cat(path, ": tensors[", canary.tensors.size(), "]")));
    canary.tensors.push_back(std::move(read));
  }
  for (const Json& prompt : json["prompts"].as_array()) {
    APR_ASSIGN(CanaryPrompt read,
               read_prompt(prompt, cat(path, ": prompts[", canary.prompts.size(), "]")));
    canary.prompts.push_back(std::move(read));
  }
  if (canary.tensors.size() != count || count == 0) {
    return fields.wrong("tensors", "a list of as many tensors as tensor_count says, at least one");
  }
  if (canary.prompts.empty()) return fields.wrong("prompts", "a list of at least one prompt");
  return canary;
}

}  // namespace apr
