// A measuring stage for the gate tokenizer-parity: texts whose ids a trusted tokenizer has
// recorded.
#include <ostream>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "core/runtime/model.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/pipeline/check.h"
#include "orchestrator/stages/json_lines.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"

namespace apr::pipeline {
namespace {

constexpr std::uint64_t kMaxReference = std::uint64_t{256} << 20;

VerbInfo describe() {
  VerbInfo info;
  info.name = "tokenizer-parity";
  info.summary = "compare a model's token ids with recorded ones";
  info.details =
      "The reference holds texts with the ids that a trusted tokenizer gave: either JSON with a "
      "list `strings` (or a list alone), or one object per line; each {\"text\": …, \"ids\": […]} "
      "with special tokens recognised, and if there is \"ids_no_special\", also without.";
  info.params.push_back(model_param());
  Param reference = text_param("reference", "FILE", "recorded texts and ids");
  reference.role = ParamRole::input;
  reference.required = true;
  info.params.push_back(std::move(reference));
  info.metrics = {"mismatches", "texts"};
  return info;
}

Result<Json> read_reference(const std::string& path) {
  APR_ASSIGN(const std::string text, read_file(path, kMaxReference));
  JsonLimits limits;
  limits.max_bytes = kMaxReference;
  if (auto whole = parse_json(text, path, limits)) {
    if (whole->is_array()) return *std::move(whole);
    if ((*whole)["strings"].is_array()) return (*whole)["strings"];
  }
  Json list = Json::array();
  APR_TRY(for_each_json_line(text, path, [&](const Json& one, const std::string&) -> Status {
    list.push_back(one);
    return {};
  }));
  return list;
}

class TokenizerParity final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    APR_ASSIGN(const Package package, open_any(context, params.text("model")));
    APR_ASSIGN(const Tokenizer tokenizer, tokenizer_of(package));
    const std::string& path = params.text("reference");
    APR_ASSIGN(const Json reference, read_reference(path));
    std::int64_t compared = 0;
    std::int64_t mismatches = 0;
    Json first;
    for (std::size_t i = 0; i < reference.size(); ++i) {
      const Json& one = reference.as_array()[i];
      if (!one["text"].is_string() || !one["ids"].is_array()) {
        return make_error(ErrorCode::format, cat("entry ", i + 1, " has no 'text' and 'ids'"), path,
                          "each is {\"text\": …, \"ids\": […]}");
      }
      for (const bool special : {true, false}) {
        const Json& wanted = special ? one["ids"] : one["ids_no_special"];
        if (!wanted.is_array()) continue;
        auto ids = tokenizer.encode(one["text"].as_string(),
                                    {.add_special = false, .parse_special = special});
        if (!ids) return std::move(ids).error().within(package.path());
        Json found = Json::array();
        for (const TokenId id : *ids) found.push_back(std::int64_t{id});
        ++compared;
        if (found == wanted) continue;
        ++mismatches;
        if (first.is_null()) {
          first = Json::object({{"text", one["text"]}, {"wanted", wanted}, {"found", found}});
        }
      }
      context.progress.update("texts", i + 1, reference.size());
      if (g_interrupted) return make_error(ErrorCode::interrupted, "stopped by the user");
    }
    if (compared == 0) {
      return make_error(ErrorCode::validation, "the reference holds no texts", path,
                        "an empty comparison proves nothing");
    }
    Json report = Json::object({{"texts", compared}, {"mismatches", mismatches}});
    if (!first.is_null()) report.set("first_mismatch", std::move(first));
    return Outcome{.report = std::move(report)};
  }

  void print(const Json& report, std::ostream& out, bool) const override {
    out << report["mismatches"].as_integer() << " of " << report["texts"].as_integer()
        << " texts have other ids\n";
  }

 private:
  VerbInfo info_ = describe();
};

}  // namespace

Stage& tokenizer_parity_stage() {
  static TokenizerParity stage;
  return stage;
}

}  // namespace apr::pipeline
