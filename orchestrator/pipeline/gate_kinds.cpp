#include "orchestrator/pipeline/gate_kinds.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/cat.h"

namespace apr::pipeline {
namespace {

Param input(std::string name, std::string help, bool required,
            std::vector<std::string> aliases = {}) {
  Param param;
  param.name = std::move(name);
  param.help = std::move(help);
  param.role = ParamRole::input;
  param.required = required;
  param.aliases = std::move(aliases);
  return param;
}

Param setting(std::string name, ParamType type, std::string help,
              std::optional<double> minimum = std::nullopt) {
  Param param;
  param.name = std::move(name);
  param.type = type;
  param.help = std::move(help);
  param.minimum = minimum;
  return param;
}

std::vector<GateKind> make_kinds() {
  const Param model = input("model", "the model to measure; by default the stage's output", false);
  const Param text = input("text", "the text that perplexity is measured on", true, {"dataset"});
  const Param window = setting("window", ParamType::integer, "tokens per window", 2);
  std::vector<GateKind> kinds;

  GateKind golden;
  golden.name = "golden-trace";
  golden.summary = "every traced node agrees with a recorded reference";
  golden.params = {
      model, input("reference", "the recorded trace (golden.json)", true),
      setting("tolerance", ParamType::number,
              "largest difference allowed; by default what the stored types allow", 0)};
  golden.verbs = {"test-model"};
  kinds.push_back(std::move(golden));

  GateKind perplexity;
  perplexity.name = "perplexity";
  perplexity.summary = "the model predicts a text well enough, absolutely or compared with another";
  perplexity.params = {
      model,
      text,
      setting("max", ParamType::number, "largest perplexity", 0),
      input("ratio_to", "the model to compare with", false),
      setting("max_ratio", ParamType::number, "largest perplexity divided by the other model's", 0),
      window};
  perplexity.one_of = {"max", "max_ratio"};
  perplexity.together = {{"ratio_to", "max_ratio"}, {"max_ratio", "ratio_to"}};
  perplexity.verbs = {"eval"};
  kinds.push_back(std::move(perplexity));

  GateKind kld;
  kld.name = "kld";
  kld.summary = "the model's distributions stay near its parent's";
  kld.params = {
      model,
      input("parent", "the model it came from", true),
      text,
      setting("mean", ParamType::text, "limit on the mean KL divergence: \"<= 0.05\""),
      setting("top1", ParamType::text, "limit on the share of equal best tokens: \">= 0.9\""),
      window};
  kld.limits = {{"mean", Limit::Op::less_equal}, {"top1", Limit::Op::greater_equal}};
  kld.one_of = {"mean", "top1"};
  kld.verbs = {"eval"};
  kinds.push_back(std::move(kld));

  GateKind tokenizer;
  tokenizer.name = "tokenizer-parity";
  tokenizer.summary = "the tokenizer gives the ids that a trusted one has recorded";
  Param mismatches =
      setting("mismatches", ParamType::integer, "most texts that may have other ids", 0);
  mismatches.fallback = Json(0);
  tokenizer.params = {model, input("reference", "recorded texts and ids (JSON)", true),
                      std::move(mismatches)};
  tokenizer.verbs = {"tokenizer-parity"};
  kinds.push_back(std::move(tokenizer));

  GateKind canary;
  canary.name = "canary";
  canary.summary = "every tensor, and what is computed from them, is as a canary recorded it";
  Param type_aware = setting("type_aware", ParamType::boolean,
                             "allow weights stored in other types, with their noise");
  type_aware.fallback = Json(false);
  canary.params = {model, input("canary", "the file that `apr canary create` wrote", true),
                   std::move(type_aware),
                   setting("tolerance", ParamType::number, "largest difference of a logit", 0)};
  canary.verbs = {"canary check"};
  kinds.push_back(std::move(canary));

  GateKind size;
  size.name = "size";
  size.summary = "the output is small enough, absolutely or compared with another";
  size.params = {model, setting("max", ParamType::bytes, "largest size"),
                 input("of", "what to compare with", false),
                 setting("max_ratio", ParamType::number, "largest size divided by the other's", 0)};
  size.one_of = {"max", "max_ratio"};
  size.together = {{"of", "max_ratio"}, {"max_ratio", "of"}};
  kinds.push_back(std::move(size));

  GateKind report;
  report.name = "report";
  report.summary = "figures of the stage's own report are within limits: {perplexity: \"<= 2.4\"}";
  report.open = true;
  kinds.push_back(std::move(report));
  return kinds;
}

}  // namespace

bool Limit::holds(double value) const {
  switch (op) {
    case Op::less:
      return value < bound;
    case Op::less_equal:
      return value <= bound;
    case Op::greater:
      return value > bound;
    case Op::greater_equal:
      return value >= bound;
    case Op::equal:
      return value == bound;
  }
  return false;
}

std::string Limit::to_string() const {
  static constexpr std::string_view kSigns[] = {"<", "<=", ">", ">=", "=="};
  return cat(kSigns[static_cast<std::size_t>(op)], " ", bound);
}

Result<Limit> parse_limit(const Json& value, Limit::Op bare) {
  const auto wrong = [&] {
    return make_error(ErrorCode::usage, cat(value.dump(), " is not a limit"), "",
                      "write a comparison and a number: \"<= 0.05\"");
  };
  Limit limit;
  limit.op = bare;
  if (value.is_number()) {
    limit.bound = value.as_number();
  } else if (value.is_string()) {
    std::string_view text = value.as_string();
    static constexpr std::pair<std::string_view, Limit::Op> kSigns[] = {
        {"<=", Limit::Op::less_equal}, {">=", Limit::Op::greater_equal}, {"==", Limit::Op::equal},
        {"<", Limit::Op::less},        {">", Limit::Op::greater},
    };
    for (const auto& [sign, op] : kSigns) {
      if (!text.starts_with(sign)) continue;
      limit.op = op;
      text.remove_prefix(sign.size());
      break;
    }
    while (text.starts_with(' ')) text.remove_prefix(1);
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, limit.bound);
    if (text.empty() || read.ec != std::errc{} || read.ptr != end) return wrong();
  } else {
    return wrong();
  }
  if (!std::isfinite(limit.bound)) return wrong();
  return limit;
}

const Param* GateKind::find(std::string_view key) const {
  const auto found = std::find_if(params.begin(), params.end(), [&](const Param& param) {
    return param.name == key ||
           std::find(param.aliases.begin(), param.aliases.end(), key) != param.aliases.end();
  });
  return found == params.end() ? nullptr : &*found;
}

const Limit::Op* GateKind::limit(std::string_view key) const {
  const auto found = std::find_if(limits.begin(), limits.end(),
                                  [&](const auto& entry) { return entry.first == key; });
  return found == limits.end() ? nullptr : &found->second;
}

std::vector<std::string> GateKind::names() const {
  std::vector<std::string> list;
  for (const Param& param : params) list.push_back(param.name);
  return list;
}

const std::vector<GateKind>& gate_kinds() {
  static const std::vector<GateKind> kinds = make_kinds();
  return kinds;
}

const GateKind* find_gate_kind(std::string_view name) {
  const auto& kinds = gate_kinds();
  const auto found = std::find_if(kinds.begin(), kinds.end(),
                                  [&](const GateKind& kind) { return kind.name == name; });
  return found == kinds.end() ? nullptr : &*found;
}

std::vector<std::string> gate_kind_names() {
  std::vector<std::string> names;
  for (const GateKind& kind : gate_kinds()) names.push_back(kind.name);
  return names;
}

}  // namespace apr::pipeline
