#include "orchestrator/stages/golden_trace.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>
#include <utility>

#include "core/base/cat.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/formats/safetensors/safetensors.h"

namespace apr {

namespace {

constexpr std::uint64_t kMaxJsonBytes = 64u << 20;
constexpr std::string_view kJsonName = "golden.json";
constexpr std::string_view kTensorsName = "golden.safetensors";

Error malformed(const std::string& file, const std::string& what) {
  return make_error(ErrorCode::format, what, file, "docs/golden-traces.md describes the format");
}

Result<std::vector<TokenId>> read_ids(const Json& list, const std::string& field,
                                      const std::string& file) {
  if (!list.is_array()) return malformed(file, cat("field ", field, " is not a list of ids"));
  std::vector<TokenId> ids;
  for (const Json& id : list.as_array()) {
    if (!id.is_integer() || id.as_integer() < 0 || id.as_integer() > INT32_MAX) {
      return malformed(file, cat("field ", field, " holds ", id.dump(), ", which is no id"));
    }
    ids.push_back(static_cast<TokenId>(id.as_integer()));
  }
  return ids;
}

Result<GoldenPrompt> read_prompt(const Json& json, std::size_t index, const std::string& file) {
  const std::string field = cat("prompts[", index, "]");
  GoldenPrompt prompt;
  prompt.name = json["name"].as_string();
  if (prompt.name.empty()) return malformed(file, cat("field ", field, ".name is missing"));
  if (!json["prompt"].is_string()) {
    return malformed(file, cat("field ", field, ".prompt is missing"));
  }
  prompt.text = json["prompt"].as_string();
  prompt.parse_special = json["parse_special"].as_boolean(false);
  APR_ASSIGN(prompt.ids, read_ids(json["ids"], field + ".ids", file));
  if (prompt.ids.empty()) return malformed(file, cat("field ", field, ".ids is empty"));
  APR_ASSIGN(prompt.top_ids, read_ids(json["top10_ids"], field + ".top10_ids", file));
  for (const Json& logit : json["top10_logits"].as_array()) {
    prompt.top_logits.push_back(logit.as_number(std::nan("")));
  }
  APR_ASSIGN(prompt.greedy_ids, read_ids(json["greedy_ids"], field + ".greedy_ids", file));
  if (const Json& stop = json["greedy_stop_index"]; !stop.is_null()) {
    if (!stop.is_integer() || stop.as_integer() < 0 ||
        static_cast<std::size_t>(stop.as_integer()) >= prompt.greedy_ids.size()) {
      return malformed(file, cat("field ", field, ".greedy_stop_index is outside of greedy_ids"));
    }
    prompt.greedy_stop = static_cast<std::size_t>(stop.as_integer());
  }
  for (const Json& name : json["tensors"].as_array()) {
    const std::string& full = name.as_string();
    if (!full.starts_with(prompt.name + ".")) {
      return malformed(file, cat("field ", field, ".tensors names '", full,
                                 "', which does not begin with '", prompt.name, ".'"));
    }
    const std::string value = full.substr(prompt.name.size() + 1);
    const std::string variant = value.substr(0, value.find('.'));
    (json["window_variants"].contains(variant) ? prompt.controls : prompt.values).push_back(value);
  }
  if (prompt.values.empty()) return malformed(file, cat("field ", field, ".tensors is empty"));
  return prompt;
}

/// The number behind `marker` at the end of a name; 0 if there is none.
std::size_t tail_rows(std::string_view name, std::string_view marker) {
  const std::size_t at = name.rfind(marker);
  if (at == std::string_view::npos) return 0;
  const std::string_view digits = name.substr(at + marker.size());
  std::size_t rows = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rows);
  return error == std::errc() && end == digits.data() + digits.size() ? rows : 0;
}

Result<std::optional<double>> read_suggestion(const Json& json, std::string_view field,
                                              const std::string& file) {
  const Json& value = json["suggested_tolerance"][field];
  if (value.is_null()) return std::optional<double>();
  const double number = value.as_number(std::nan(""));
  if (std::isfinite(number) && number >= 0) return std::optional<double>(number);
  return malformed(file, cat("field suggested_tolerance.", field, " is ", value.dump()));
}

std::string hex_digest(std::span<const float> numbers) {
  return sha256(std::as_bytes(numbers)).hex();
}

}  // namespace

GoldenPart part_of(std::string_view stored) {
  if (stored == "logits_all") return {"logits", 0};
  if (stored == "logits_last") return {"logits", 1};
  if (stored.starts_with("logits_tail")) {
    if (const std::size_t rows = tail_rows(stored, "_tail"); rows > 0) return {"logits", rows};
  }
  if (const std::size_t rows = tail_rows(stored, ".tail"); rows > 0) {
    return {std::string(stored.substr(0, stored.rfind(".tail"))), rows};
  }
  return {std::string(stored), 0};
}

Status GoldenTrace::read_prompts(const Json& json, std::string_view file) {
  if (json["format"].as_integer() != 1) {
    return malformed(std::string(file), cat("field format is ", json["format"].dump(),
                                            "; this version reads format 1"));
  }
  std::set<std::string> names;
  const JsonArray& list = json["prompts"].as_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    APR_ASSIGN(GoldenPrompt prompt, read_prompt(list[i], i, std::string(file)));
    if (!names.insert(prompt.name).second) {
      return malformed(std::string(file), cat("two prompts are named '", prompt.name, "'"));
    }
    prompts_.push_back(std::move(prompt));
  }
  if (prompts_.empty()) return malformed(std::string(file), "field prompts holds none");
  return {};
}

Status GoldenTrace::read_tensors(const Json& json, const std::string& file) {
  const std::string& name = json["tensor_file"].as_string();
  if (name.empty() || base_name(name) != name || name == "..") {
    return malformed(file, "field tensor_file is not the name of a file beside it");
  }
  const std::string path = join_path(parent_path(file), name);
  APR_ASSIGN(const auto mapping, FileMapping::open(path));
  const std::string digest = sha256(mapping->bytes()).hex();
  if (digest != json["tensor_file_sha256"].as_string()) {
    return make_error(ErrorCode::format,
                      cat("its SHA-256 is ", digest, ", but ", base_name(file), " says ",
                          json["tensor_file_sha256"].as_string()),
                      path, "the two files do not belong together, or one was changed");
  }
  APR_ASSIGN(const SafetensorsTable table, read_safetensors_table(mapping->bytes(), path));
  std::uint64_t total = 0;
  for (const SafetensorsTensor& tensor : table.tensors) {
    if (tensor.type != Type::f32) {
      return make_error(ErrorCode::format, "a trace holds F32 only", cat(path, ": ", tensor.name));
    }
    total += tensor.size / sizeof(float);
  }
  numbers_.resize(total);
  std::size_t begin = 0;
  for (const SafetensorsTensor& tensor : table.tensors) {
    const std::size_t count = tensor.size / sizeof(float);
    if (count > 0) {
      std::memcpy(numbers_.data() + begin, mapping->bytes().data() + tensor.offset, tensor.size);
    }
    values_[tensor.name] = {tensor.shape, std::span<const float>(numbers_).subspan(begin, count)};
    begin += count;
  }
  return {};
}

Result<GoldenTrace> GoldenTrace::open(const std::string& path) {
  APR_ASSIGN(const std::string text, read_file(path, kMaxJsonBytes));
  APR_ASSIGN(const Json json, parse_json(text, path));
  GoldenTrace trace;
  trace.path_ = path;
  trace.reference_ = json["reference"].as_string();
  APR_TRY(trace.read_prompts(json, path));
  SuggestedTolerance& suggested = trace.suggested_;
  APR_ASSIGN(suggested.hidden_states, read_suggestion(json, "hidden_states_float32_engine", path));
  APR_ASSIGN(suggested.attention_probabilities,
             read_suggestion(json, "attention_probabilities_float32_engine", path));
  APR_ASSIGN(suggested.logits, read_suggestion(json, "logits_float32_engine", path));
  APR_TRY(trace.read_tensors(json, path));
  for (const GoldenPrompt& prompt : trace.prompts_) {
    std::vector<std::string> stored = prompt.values;
    stored.insert(stored.end(), prompt.controls.begin(), prompt.controls.end());
    for (const std::string& name : stored) {
      const auto found = trace.values_.find(cat(prompt.name, ".", name));
      if (found == trace.values_.end()) {
        return malformed(path, cat("the tensor file has no '", prompt.name, ".", name, "'"));
      }
      for (const float number : found->second.numbers) {
        if (!std::isfinite(number)) {
          return malformed(path, cat("'", found->first, "' holds a value that is not a number"));
        }
      }
    }
  }
  return trace;
}

const GoldenValue& GoldenTrace::value(const GoldenPrompt& prompt, std::string_view name) const {
  return values_.find(cat(prompt.name, ".", name))->second;
}

std::vector<std::string> GoldenTrace::tap_names() const {
  std::set<std::string> names;
  for (const GoldenPrompt& prompt : prompts_) {
    for (const std::string& name : prompt.values) {
      if (const GoldenPart part = part_of(name); part.value != "logits") names.insert(part.value);
    }
  }
  return {names.begin(), names.end()};
}

std::size_t GoldenTrace::longest_prompt() const {
  std::size_t longest = 0;
  for (const GoldenPrompt& prompt : prompts_) longest = std::max(longest, prompt.ids.size());
  return longest;
}

Status write_golden_trace(const std::string& folder, bool overwrite, Json json,
                          std::span<const TracedValue> values) {
  std::vector<const TracedValue*> sorted;
  for (const TracedValue& value : values) sorted.push_back(&value);
  std::sort(sorted.begin(), sorted.end(),
            [](const TracedValue* a, const TracedValue* b) { return a->name < b->name; });
  std::vector<SafetensorsTensor> tensors;
  Json table = Json::object();
  for (const TracedValue* value : sorted) {
    SafetensorsTensor tensor;
    tensor.name = value->name;
    tensor.shape = value->shape;
    tensor.size = value->numbers.size() * sizeof(float);
    tensors.push_back(std::move(tensor));
    Json dims = Json::array();
    for (const std::uint64_t dim : value->shape.dims()) dims.push_back(dim);
    table.set(value->name, Json::object({{"dtype", "F32"},
                                         {"shape", std::move(dims)},
                                         {"sha256", hex_digest(value->numbers)}}));
  }
  APR_ASSIGN(const std::string header, write_safetensors_header(tensors, Json::object()));
  APR_ASSIGN(AtomicFolder target,
             AtomicFolder::create(folder, overwrite, [](std::string_view name) {
               return name == kJsonName || name == kTensorsName;
             }));
  APR_ASSIGN(AtomicFile tensor_file, target.create_file(kTensorsName));
  Sha256 digest;
  digest.update(header);
  APR_TRY(tensor_file.write(header));
  for (const TracedValue* value : sorted) {
    const auto bytes = std::as_bytes(std::span<const float>(value->numbers));
    digest.update(bytes);
    APR_TRY(tensor_file.write(bytes));
  }
  APR_TRY(tensor_file.commit());
  json.set("tensor_file", kTensorsName);
  json.set("tensor_file_sha256", digest.finish().hex());
  json.set("tensors", std::move(table));
  APR_ASSIGN(AtomicFile json_file, target.create_file(kJsonName));
  APR_TRY(json_file.write(json.dump(1)));
  APR_TRY(json_file.write("\n"));
  APR_TRY(json_file.commit());
  return target.commit();
}

std::vector<TokenId> largest_ids(std::span<const float> logits, std::size_t k) {
  std::vector<TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  k = std::min(k, ids.size());
  const auto rank = [&](TokenId id) {
    const float logit = logits[static_cast<std::size_t>(id)];
    return std::pair(std::isnan(logit), -logit);
  };
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(k), ids.end(),
                    [&](TokenId a, TokenId b) {
                      const auto [a_nan, a_logit] = rank(a);
                      const auto [b_nan, b_logit] = rank(b);
                      if (a_nan != b_nan) return b_nan;
                      if (!a_nan && a_logit != b_logit) return a_logit < b_logit;
                      return a < b;
                    });
  ids.resize(k);
  return ids;
}

}  // namespace apr
