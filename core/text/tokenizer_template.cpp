#include "core/text/tokenizer_template.h"

#include <string>
#include <utility>

#include "core/base/cat.h"

namespace apr {

namespace {

constexpr int kMaxNesting = 4;  ///< Sequences in Sequences

Error malformed(std::string_view field, std::string message, std::string_view file) {
  return make_error(ErrorCode::format, cat(field, ": ", message), std::string(file));
}

Error unsupported(std::string_view field, std::string message, std::string_view file) {
  return make_error(ErrorCode::unsupported, cat(field, ": ", message), std::string(file));
}

class PostProcessorReader {
 public:
  PostProcessorReader(std::uint32_t tokens, std::string_view file) : tokens_(tokens), file_(file) {}
  Status read(const Json& json, const std::string& field, int nesting);
  std::optional<Templates> take() { return std::move(made_); }

 private:
  Status read_templates(const Json& json, const std::string& field);
  Result<Template> read_template(const Json& pieces, const Json& special_tokens,
                                 const std::string& field, bool is_pair) const;
  Result<std::int32_t> read_type(const Json& piece, const std::string& field) const;
  Status read_bert(const Json& json, const std::string& field, bool is_roberta);
  /// The id of "cls" or "sep": ["[CLS]", 101].
  Result<TokenId> read_named(const Json& json, const std::string& field,
                             std::string_view name) const;
  bool is_id(const Json& id) const {
    return id.is_integer() && id.as_integer() >= 0 && id.as_integer() < std::int64_t{tokens_};
  }

  std::uint32_t tokens_;
  std::string_view file_;
  std::optional<Templates> made_;
};

Status PostProcessorReader::read(const Json& json, const std::string& field, int nesting) {
  if (json.is_null()) return {};
  const std::string& type = json["type"].as_string();
  if (type == "ByteLevel") return {};  // trims offsets, which are not kept
  if (type == "Sequence" && nesting < kMaxNesting) {
    const JsonArray& list = json["processors"].as_array();
    for (std::size_t i = 0; i < list.size(); ++i) {
      APR_TRY(read(list[i], cat(field, ".processors[", i, "]"), nesting + 1));
    }
    return {};
  }
  if (made_) return unsupported(field, "two templates in one tokenizer", file_);
  if (type == "TemplateProcessing") return read_templates(json, field);
  if (type == "BertProcessing") return read_bert(json, field, false);
  if (type == "RobertaProcessing") return read_bert(json, field, true);
  return unsupported(field, cat("type \"", type, "\" is not supported"), file_);
}

Status PostProcessorReader::read_templates(const Json& json, const std::string& field) {
  Templates made;
  const Json& special_tokens = json["special_tokens"];
  APR_ASSIGN(made.single, read_template(json["single"], special_tokens, field + ".single", false));
  if (!json["pair"].is_null()) {
    APR_ASSIGN(made.pair, read_template(json["pair"], special_tokens, field + ".pair", true));
  }
  made_ = std::move(made);
  return {};
}

Result<Template> PostProcessorReader::read_template(const Json& pieces, const Json& special_tokens,
                                                    const std::string& field, bool is_pair) const {
  if (!pieces.is_array()) return malformed(field, "expected a list", file_);
  Template made;
  bool seen[2] = {};
  for (const Json& entry : pieces.as_array()) {
    if (const Json* sequence = entry.find("Sequence")) {
      const std::string& name = (*sequence)["id"].as_string();
      const bool is_second = name == "B";
      if ((!is_second && name != "A") || seen[is_second]) {
        return unsupported(field, "expected each text once", file_);
      }
      seen[is_second] = true;
      APR_ASSIGN(const std::int32_t type, read_type(*sequence, field));
      made.push_back(
          {is_second ? TemplatePiece::Kind::second : TemplatePiece::Kind::first, 0, type});
    } else if (const Json* special = entry.find("SpecialToken")) {
      const std::string& name = (*special)["id"].as_string();
      APR_ASSIGN(const std::int32_t type, read_type(*special, field));
      const Json& ids = special_tokens[name]["ids"];
      if (!ids.is_array()) {
        return malformed(field, cat("special_tokens has no \"", name, "\""), file_);
      }
      for (const Json& id : ids.as_array()) {
        if (!is_id(id)) {
          return malformed(
              field, cat("the id of \"", name, "\" in special_tokens is not in the vocabulary"),
              file_);
        }
        made.push_back({TemplatePiece::Kind::token, static_cast<TokenId>(id.as_integer()), type});
        if (made.size() > kMaxTemplatePieces) return unsupported(field, "too many pieces", file_);
      }
    } else {
      return malformed(field, "unknown piece", file_);
    }
    if (made.size() > kMaxTemplatePieces) return unsupported(field, "too many pieces", file_);
  }
  if (!seen[0]) return malformed(field, "the text itself is missing", file_);
  if (seen[1] != is_pair) {
    return malformed(field, is_pair ? "the second text is missing" : "there is a second text",
                     file_);
  }
  return made;
}

Result<std::int32_t> PostProcessorReader::read_type(const Json& piece,
                                                    const std::string& field) const {
  const Json& type = piece["type_id"];
  if (type.is_null()) return 0;
  if (!type.is_integer() || type.as_integer() < 0 || type.as_integer() > INT32_MAX) {
    return malformed(field, "a type_id is not a number from 0 to 2147483647", file_);
  }
  return static_cast<std::int32_t>(type.as_integer());
}

Result<TokenId> PostProcessorReader::read_named(const Json& json, const std::string& field,
                                                std::string_view name) const {
  const JsonArray& pair = json[name].as_array();
  if (pair.size() != 2 || !pair[0].is_string() || !is_id(pair[1])) {
    return malformed(cat(field, ".", name), "expected a token and its id in the vocabulary", file_);
  }
  return static_cast<TokenId>(pair[1].as_integer());
}

/// BERT: [CLS] A [SEP] B [SEP] with type 1 from B on. RoBERTa: <s> A </s> </s> B </s>, all type 0.
Status PostProcessorReader::read_bert(const Json& json, const std::string& field, bool is_roberta) {
  APR_ASSIGN(const TokenId sep, read_named(json, field, "sep"));
  APR_ASSIGN(const TokenId cls, read_named(json, field, "cls"));
  using Kind = TemplatePiece::Kind;
  Templates made;
  made.single = {{Kind::token, cls, 0}, {Kind::first, 0, 0}, {Kind::token, sep, 0}};
  made.pair = made.single;
  const std::int32_t type = is_roberta ? 0 : 1;
  if (is_roberta) made.pair.push_back({Kind::token, sep, type});
  made.pair.push_back({Kind::second, 0, type});
  made.pair.push_back({Kind::token, sep, type});
  made_ = std::move(made);
  return {};
}

}  // namespace

Result<std::optional<Templates>> read_post_processor(const Json& json, std::uint32_t tokens,
                                                     std::string_view file) {
  PostProcessorReader reader(tokens, file);
  APR_TRY(reader.read(json, "post_processor", 0));
  return reader.take();
}

}  // namespace apr
