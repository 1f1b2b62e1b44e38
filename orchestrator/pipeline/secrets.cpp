#include "orchestrator/pipeline/secrets.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "core/base/cat.h"

namespace apr::pipeline {
namespace {

/// Shorter ones would be found in any text.
constexpr std::size_t kShortest = 8;

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

template <typename Change>
Json with_texts(const Json& json, const Change& change) {
  if (json.is_string()) return Json(change(json.as_string()));
  if (json.is_array()) {
    Json list = Json::array();
    for (const Json& item : json.as_array()) list.push_back(with_texts(item, change));
    return list;
  }
  if (!json.is_object()) return json;
  Json object = Json::object();
  for (const auto& [key, value] : json.as_object()) {
    object.set(change(key), with_texts(value, change));
  }
  return object;
}

}  // namespace

std::string secret_placeholder(std::string_view name) {
  return cat("\x01secret ", name, "\x01");
}

Result<Secrets> Secrets::read(const Pipeline& pipeline) {
  Secrets secrets;
  for (const Name& name : pipeline.secrets) {
    const char* value = std::getenv(name.text.c_str());
    const std::string_view text = value == nullptr ? "" : value;
    const std::string where = place(pipeline.file, name.at);
    if (text.empty()) {
      return make_error(ErrorCode::usage, cat("the secret '", name.text, "' is not set"), where,
                        cat("give it in the environment: ", name.text, "=… apr-pipeline run …"));
    }
    if (text.size() < kShortest) {
      return make_error(ErrorCode::usage,
                        cat("the secret '", name.text, "' has fewer than ", kShortest, " bytes"),
                        where, "so short a text cannot be kept out of logs; use a longer one");
    }
    secrets.values_[name.text] = text;
  }
  return secrets;
}

Json Secrets::reveal(const Json& json) const {
  if (values_.empty()) return json;
  return with_texts(json, [&](std::string text) {
    for (const auto& [name, value] : values_) replace_all(text, secret_placeholder(name), value);
    return text;
  });
}

std::string Secrets::mask_text(std::string_view text) const {
  std::string masked(text);
  // The longest first: one secret may be part of another.
  std::vector<std::string> values;
  for (const auto& [name, value] : values_) {
    values.push_back(value);
    const std::string quoted = Json(value).dump();  // as it stands in JSON that was printed
    values.push_back(quoted.substr(1, quoted.size() - 2));
  }
  std::ranges::sort(values, std::ranges::greater{}, &std::string::size);
  for (const std::string& value : values) replace_all(masked, value, "***");
  return masked;
}

Json Secrets::mask(const Json& json) const {
  if (values_.empty()) return json;
  return with_texts(json, [&](const std::string& text) { return mask_text(text); });
}

Error Secrets::mask(Error error) const {
  error.message = mask_text(error.message);
  error.context = mask_text(error.context);
  error.hint = mask_text(error.hint);
  return error;
}

}  // namespace apr::pipeline
