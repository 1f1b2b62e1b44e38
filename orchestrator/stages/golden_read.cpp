// Reading a golden trace. Every field is checked before it is used; what the tensor file holds is
// whatever its stated digest says.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/base/hash.h"
#include "core/formats/safetensors/safetensors.h"
#include "orchestrator/stages/golden_trace.h"

namespace apr {

namespace {

constexpr std::uint64_t kMaxJsonBytes = 64u << 20;
constexpr std::uint64_t kMaxFeatureNumbers = 8u << 20;
/// Rows of a value named ".queries" where the trace does not say which.
constexpr std::array<std::size_t, 4> kUsualQueries = {0, 75, 149, 1000};
constexpr std::string_view kToleranceSuffix = "_float32_engine";

Error malformed(const std::string& file, const std::string& what) {
  return make_error(ErrorCode::format, what, file, "docs/golden-traces.md describes the format");
}

/// The integers of a list, from 0 to `limit`.
Result<std::vector<std::int32_t>> read_numbers(const Json& list, const std::string& field,
                                               const std::string& file,
                                               std::int64_t limit = INT32_MAX) {
  if (!list.is_array()) return malformed(file, cat("field ", field, " is not a list of numbers"));
  std::vector<std::int32_t> numbers;
  for (const Json& item : list.as_array()) {
    if (!item.is_integer() || item.as_integer() < 0 || item.as_integer() > limit) {
      return malformed(
          file, cat("field ", field, " holds ", item.dump(), ", which is not within 0 to ", limit));
    }
    numbers.push_back(static_cast<std::int32_t>(item.as_integer()));
  }
  return numbers;
}

/// Numbers in brackets behind `name` in a note: "x is [heads, 2] for the query frames [0, 75]".
std::vector<std::size_t> numbers_in_note(std::string_view note, std::string_view name,
                                         std::size_t count) {
  std::size_t at = note.find(name);
  while (at != std::string_view::npos && (at = note.find('[', at)) != std::string_view::npos) {
    const std::size_t end = note.find(']', ++at);
    if (end == std::string_view::npos) break;
    std::string_view words = note.substr(at, end - at);
    std::vector<std::size_t> numbers;
    while (!words.empty()) {
      while (words.starts_with(' ')) words.remove_prefix(1);
      std::size_t number = 0;
      const auto [next, error] = std::from_chars(words.data(), words.data() + words.size(), number);
      if (error != std::errc()) break;
      numbers.push_back(number);
      words.remove_prefix(static_cast<std::size_t>(next - words.data()));
      if (words.starts_with(',')) words.remove_prefix(1);
    }
    if (words.empty() && numbers.size() == count) return numbers;
  }
  return {};
}

}  // namespace

class GoldenReader {
 public:
  GoldenReader(const Json& json, const std::string& path, GoldenTrace& trace)
      : json_(json), path_(path), trace_(trace) {}

  Status run() {
    trace_.path_ = path_;
    trace_.reference_ = json_["reference"].as_string();
    if (json_["format"].as_integer() != 1) {
      return malformed(
          path_, cat("field format is ", json_["format"].dump(), "; this version reads format 1"));
    }
    APR_TRY(read_prompts());
    APR_TRY(read_tolerances());
    APR_TRY(read_tensors());
    APR_TRY(check_values());
    return read_audio();
  }

 private:
  bool has_audio() const { return json_.contains(kInputFeatures) || json_.contains("audio_file"); }

  Status read_prompts() {
    const JsonArray& list = json_["prompts"].as_array();
    for (const Json& prompt : list) {
      if (!names_.insert(prompt["name"].as_string()).second) {
        return malformed(path_, cat("two prompts are named '", prompt["name"].as_string(), "'"));
      }
    }
    for (std::size_t i = 0; i < list.size(); ++i) {
      APR_ASSIGN(GoldenPrompt prompt, read_prompt(list[i], cat("prompts[", i, "]")));
      trace_.prompts_.push_back(std::move(prompt));
    }
    if (list.empty()) return malformed(path_, "field prompts holds none");
    return {};
  }

  Result<GoldenPrompt> read_prompt(const Json& json, const std::string& field) {
    GoldenPrompt prompt;
    prompt.name = json["name"].as_string();
    if (prompt.name.empty()) return malformed(path_, cat("field ", field, ".name is missing"));
    if (!json["prompt"].is_string()) {
      return malformed(path_, cat("field ", field, ".prompt is missing"));
    }
    prompt.parse_special = json["parse_special"].as_boolean(false);
    APR_TRY(read_sequences(json, field, prompt));
    const auto optional_ids = [&](const char* name) -> Result<std::vector<TokenId>> {
      if (!json.contains(name)) return std::vector<TokenId>();
      return read_numbers(json[name], cat(field, ".", name), path_);
    };
    APR_ASSIGN(prompt.top_ids, optional_ids("top10_ids"));
    APR_ASSIGN(prompt.greedy_ids, optional_ids("greedy_ids"));
    if (prompt.is_batch && !(prompt.top_ids.empty() && prompt.greedy_ids.empty())) {
      return malformed(path_, cat("field ", field,
                                  " has several sequences; best and greedy ids are those of one"));
    }
    if (const Json& stop = json["greedy_stop_index"]; !stop.is_null()) {
      if (!stop.is_integer() || stop.as_integer() < 0 ||
          static_cast<std::size_t>(stop.as_integer()) >= prompt.greedy_ids.size()) {
        return malformed(path_,
                         cat("field ", field, ".greedy_stop_index is outside of greedy_ids"));
      }
      prompt.greedy_stop = static_cast<std::size_t>(stop.as_integer());
    }
    APR_TRY(read_value_names(json, field, prompt));
    return prompt;
  }

  Status read_sequences(const Json& json, const std::string& field, GoldenPrompt& prompt) {
    const JsonArray& ids = json["ids"].as_array();
    prompt.is_batch = !ids.empty() && ids.front().is_array();
    const std::size_t count = prompt.is_batch ? ids.size() : 1;
    for (std::size_t i = 0; i < count; ++i) {
      GoldenSequence sequence;
      const auto row = [&](const char* name, std::int64_t limit) {
        const Json& all = json[name];
        static const Json kNothing;
        const JsonArray& rows = all.as_array();
        const Json& list = !prompt.is_batch ? all : i < rows.size() ? rows[i] : kNothing;
        return read_numbers(
            list, prompt.is_batch ? cat(field, ".", name, "[", i, "]") : cat(field, ".", name),
            path_, limit);
      };
      APR_ASSIGN(sequence.ids, row("ids", INT32_MAX));
      sequence.stored_tokens = sequence.ids.size();
      if (i > 0 && sequence.stored_tokens != prompt.sequences.front().stored_tokens) {
        return malformed(path_, cat("field ", field, ".ids holds rows of different lengths"));
      }
      if (json.contains("token_type_ids")) {
        APR_ASSIGN(sequence.types, row("token_type_ids", INT32_MAX));
      }
      if (json.contains("attention_mask")) {
        APR_ASSIGN(const auto mask, row("attention_mask", 1));
        APR_TRY(cut_padding(mask, field, sequence));
      }
      if (sequence.ids.empty()) return malformed(path_, cat("field ", field, ".ids is empty"));
      if (!sequence.types.empty() && sequence.types.size() != sequence.ids.size()) {
        return malformed(path_, cat("field ", field, ".token_type_ids and ids differ in length"));
      }
      for (const Json& text : json["texts"].as_array().size() == count
                                  ? json["texts"].as_array()[i].as_array()
                                  : JsonArray()) {
        sequence.texts.push_back(text.as_string());
      }
      if (!json.contains("texts") && !prompt.is_batch) {
        sequence.texts.push_back(json["prompt"].as_string());
      }
      prompt.sequences.push_back(std::move(sequence));
    }
    return {};
  }

  /// Nothing is computed for padding, which must lie behind the tokens.
  Status cut_padding(const std::vector<std::int32_t>& mask, const std::string& field,
                     GoldenSequence& sequence) const {
    const auto tokens =
        static_cast<std::size_t>(std::find(mask.begin(), mask.end(), 0) - mask.begin());
    if (mask.size() != sequence.ids.size() ||
        std::find(mask.begin() + static_cast<std::ptrdiff_t>(tokens), mask.end(), 1) !=
            mask.end()) {
      return malformed(path_,
                       cat("field ", field, ".attention_mask is not ones and then zeros, one ",
                           "for each of ids"));
    }
    if (sequence.types.size() == sequence.ids.size()) sequence.types.resize(tokens);
    sequence.ids.resize(tokens);
    return {};
  }

  Status read_value_names(const Json& json, const std::string& field, GoldenPrompt& prompt) {
    bool any = false;
    for (const Json& name : json["tensors"].as_array()) {
      const std::string& full = name.as_string();
      any = true;
      if (full.starts_with(prompt.name + ".")) {
        const std::string value = full.substr(prompt.name.size() + 1);
        const std::string variant = value.substr(0, value.find('.'));
        (json["window_variants"].contains(variant) ? prompt.controls : prompt.values)
            .push_back(value);
        continue;
      }
      if (!has_audio() || names_.contains(full.substr(0, full.find('.')))) {
        return malformed(path_, cat("field ", field, ".tensors names '", full,
                                    "', which does not begin with '", prompt.name, ".'"));
      }
      auto& shared = trace_.shared_;
      if (std::ranges::find(shared, full) == shared.end()) shared.push_back(full);
    }
    if (!any) return malformed(path_, cat("field ", field, ".tensors is empty"));
    return {};
  }

  Status read_tolerances() {
    for (const auto& [field, value] : json_["suggested_tolerance"].as_object()) {
      if (!field.ends_with(kToleranceSuffix)) continue;
      const double number = value.as_number(std::nan(""));
      if (!(std::isfinite(number) && number >= 0)) {
        return malformed(path_, cat("field suggested_tolerance.", field, " is ", value.dump()));
      }
      trace_.suggested_[field.substr(0, field.size() - kToleranceSuffix.size())] = number;
    }
    return {};
  }

  Status read_tensors() {
    const std::string& name = json_["tensor_file"].as_string();
    if (name.empty() || base_name(name) != name || name == "..") {
      return malformed(path_, "field tensor_file is not the name of a file beside it");
    }
    const std::string path = join_path(parent_path(path_), name);
    APR_ASSIGN(const auto mapping, FileMapping::open(path));
    const std::string digest = sha256(mapping->bytes()).hex();
    if (digest != json_["tensor_file_sha256"].as_string()) {
      return make_error(ErrorCode::format,
                        cat("its SHA-256 is ", digest, ", but ", base_name(path_), " says ",
                            json_["tensor_file_sha256"].as_string()),
                        path, "the two files do not belong together, or one was changed");
    }
    APR_ASSIGN(const SafetensorsTable table, read_safetensors_table(mapping->bytes(), path));
    std::uint64_t total = 0;
    for (const SafetensorsTensor& tensor : table.tensors) {
      if (tensor.type != Type::f32) {
        return make_error(ErrorCode::format, "a trace holds F32 only",
                          cat(path, ": ", tensor.name));
      }
      total += tensor.size / sizeof(float);
    }
    std::vector<float>& numbers = trace_.numbers_;
    numbers.resize(total);
    std::size_t begin = 0;
    for (const SafetensorsTensor& tensor : table.tensors) {
      const std::size_t count = tensor.size / sizeof(float);
      if (count > 0) {
        std::memcpy(numbers.data() + begin, mapping->bytes().data() + tensor.offset, tensor.size);
      }
      trace_.values_[tensor.name] = {
          tensor.shape, std::span<const float>(numbers).subspan(begin, count), {}};
      begin += count;
    }
    return {};
  }

  Status check_values() {
    for (const std::string& name : trace_.shared_) APR_TRY(check_value(name));
    for (const GoldenPrompt& prompt : trace_.prompts_) {
      for (const auto* names : {&prompt.values, &prompt.controls}) {
        for (const std::string& name : *names) APR_TRY(check_value(cat(prompt.name, ".", name)));
      }
    }
    return {};
  }

  Status check_value(const std::string& full) {
    const auto found = trace_.values_.find(full);
    if (found == trace_.values_.end()) {
      return malformed(path_, cat("the tensor file has no '", full, "'"));
    }
    for (const float number : found->second.numbers) {
      if (!std::isfinite(number)) {
        return malformed(path_, cat("'", full, "' holds a value that is not a number"));
      }
    }
    if (part_of(full).rows != GoldenPart::Choice::listed) return {};
    return read_listed_rows(full, found->second);
  }

  /// Which rows a value named ".queries" holds: tensors.<name>.rows says so, or a note.
  Status read_listed_rows(const std::string& full, GoldenValue& value) const {
    const std::size_t rank = value.shape.rank();
    const std::size_t count = rank < 2 ? 0 : value.shape[rank - 2];
    if (const Json& rows = json_["tensors"][full]["rows"]; !rows.is_null()) {
      APR_ASSIGN(const auto numbers, read_numbers(rows, cat("tensors.", full, ".rows"), path_));
      value.listed.assign(numbers.begin(), numbers.end());
    }
    for (const Json& note : json_["notes"].as_array()) {
      if (value.listed.empty()) value.listed = numbers_in_note(note.as_string(), full, count);
    }
    if (value.listed.empty() && count == kUsualQueries.size()) {
      value.listed.assign(kUsualQueries.begin(), kUsualQueries.end());
    }
    if (count > 0 && value.listed.size() == count) return {};
    return malformed(path_, cat("'", full, "' holds ", count, " rows; the list tensors.", full,
                                ".rows does not say which"));
  }

  Status read_audio() {
    GoldenAudio& audio = trace_.audio_;
    if (const Json& file = json_["audio_file"]; !file.is_null()) {
      const std::string& name = file.as_string();
      if (name.empty() || base_name(name) != name || name == "..") {
        return malformed(path_, "field audio_file is not the name of a file beside it");
      }
      audio.file = join_path(parent_path(path_), name);
      audio.sha256 = json_["audio_sha256"].as_string();
    }
    return json_.contains(kInputFeatures) ? read_features(json_[kInputFeatures], audio) : Status();
  }

  Status read_features(const Json& about, GoldenAudio& audio) {
    const std::string field(kInputFeatures);
    APR_ASSIGN(const auto shape, read_numbers(about["shape"], field + ".shape", path_));
    APR_ASSIGN(const auto one, read_numbers(Json(JsonArray{about["stored_frames"]}),
                                            field + ".stored_frames", path_));
    const auto stored = static_cast<std::size_t>(one.front());
    if (shape.size() != 2 || shape[0] == 0 || shape[1] == 0 ||
        checked_mul(std::uint64_t(shape[0]), std::uint64_t(shape[1])).value_or(UINT64_MAX) >
            kMaxFeatureNumbers) {
      return malformed(path_, cat("field ", field, ".shape is ", about["shape"].dump()));
    }
    const auto features = static_cast<std::size_t>(shape[0]);
    const auto frames = static_cast<std::size_t>(shape[1]);
    const double constant = about["constant_after"].as_number(std::nan(""));
    const bool has_rest = about["constant_from_frame"].is_integer() &&
                          about["constant_from_frame"].as_integer() <= one.front() &&
                          std::isfinite(constant);
    if (stored == 0 || stored > frames || (stored < frames && !has_rest)) {
      return malformed(path_, cat("field ", field, " does not say what the frames behind the ",
                                  stored, " stored ones hold"));
    }
    const auto part = std::ranges::find_if(trace_.shared_, [&](const std::string& name) {
      return part_of(name).value == kInputFeatures;
    });
    if (part == trace_.shared_.end()) {
      return malformed(path_, "no prompt's tensors name the input_features");
    }
    const GoldenValue& value = trace_.shared_value(*part);
    if (value.shape != Shape{features, stored}) {
      return malformed(path_, cat("'", *part, "' has shape ", value.shape.to_string(), ", and ",
                                  field, " asks for ", Shape{features, stored}.to_string()));
    }
    std::vector<float> table(features * frames, static_cast<float>(constant));
    for (std::size_t f = 0; f < features; ++f) {
      std::ranges::copy(value.numbers.subspan(f * stored, stored),
                        table.begin() + static_cast<std::ptrdiff_t>(f * frames));
    }
    if (const std::string& digest = about["sha256_full_float32"].as_string();
        !digest.empty() && digest != sha256(std::as_bytes(std::span<const float>(table))).hex()) {
      return malformed(path_,
                       cat("field ", field, ".sha256_full_float32 is not that of the stored ",
                           "frames and what follows them"));
    }
    audio.frames = frames;
    audio.features = features;
    audio.numbers = std::move(table);
    return {};
  }

  const Json& json_;
  const std::string path_;
  GoldenTrace& trace_;
  std::set<std::string, std::less<>> names_;
};

Result<GoldenTrace> GoldenTrace::open(const std::string& path) {
  APR_ASSIGN(const std::string text, read_file(path, kMaxJsonBytes));
  APR_ASSIGN(const Json json, parse_json(text, path));
  GoldenTrace trace;
  APR_TRY(GoldenReader(json, path, trace).run());
  return trace;
}

}  // namespace apr
