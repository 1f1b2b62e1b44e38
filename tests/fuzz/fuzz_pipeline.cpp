// Pipeline YAML: any bytes are refused with a place in the file, or become a pipeline that lint has
// an opinion about. A pipeline that lint finds sound resolves without a surprise, whatever its
// stages give. Nothing is run, and no file that the text names is opened.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "orchestrator/pipeline/load.h"
#include "orchestrator/pipeline/plan.h"
#include "orchestrator/pipeline/resolve.h"

namespace {

using namespace apr;
using namespace apr::pipeline;

void require(bool holds) {
  if (!holds) std::abort();
}

/// JSON's longest key that YAML lets stand before a ':' is 1024 characters, escapes included.
bool has_long_key(const YamlNode& node) {
  return std::any_of(node.items.begin(), node.items.end(), has_long_key) ||
         std::any_of(node.members.begin(), node.members.end(), [](const YamlMember& member) {
           return member.key.size() > 128 || has_long_key(member.value);
         });
}

/// What was read, written as JSON, is YAML with the same value.
void check_yaml(std::string_view text) {
  const auto node = parse_yaml(text, "fuzz.yaml");
  if (!node) {
    require(!node.error().message.empty() && node.error().context.starts_with("fuzz.yaml"));
    return;
  }
  const std::string json = node->to_json().dump();
  if (json.size() > YamlLimits().max_bytes || has_long_key(*node)) return;
  const auto again = parse_yaml(json, "again.yaml");
  require(again.ok() && again->to_json() == node->to_json());
}

void check_diagnostics(const LoadedPipeline& loaded, std::string_view text) {
  const auto lines = 1 + std::count(text.begin(), text.end(), '\n');
  for (const Diagnostic& found : loaded.diagnostics.all()) {
    require(!found.message.empty());
    require(found.at.line >= 0 && found.at.line <= lines + 1);
    static_cast<void>(to_json(found, loaded.pipeline.file).dump());
  }
}

/// Resolves every stage and gate, as a run does; `skipped`: nothing before them gave anything.
void resolve_all(const LoadedPipeline& loaded, bool skipped) {
  StageFacts facts;
  facts.skipped = skipped;
  facts.report = Json::object({{"perplexity", 2.5},
                               {"ids", Json(JsonArray{1, 2})},
                               {"text", "a ${params.x}"},
                               {"output_bytes", 1000}});
  facts.output = [](std::string_view port) { return "/made/" + std::string(port); };
  const FactsOf facts_of = [&](std::size_t) { return &facts; };
  for (const std::size_t index : loaded.checked.order) {
    const CheckedStage& stage = loaded.checked.stages[index];
    const auto lookup = make_lookup(loaded.pipeline, loaded.params, stage.spec->matrix, facts_of);
    const auto resolved = resolve_stage(loaded.pipeline, stage, lookup);
    require(resolved.ok() || !resolved.error().message.empty());
    for (const GateSpec& gate : stage.spec->gates) {
      static_cast<void>(resolve_gate(loaded.pipeline, stage, gate, lookup, "/made/model").ok());
    }
  }
  for (const OutputSpec& output : loaded.pipeline.outputs) {
    const auto place = output_place(loaded.pipeline, output);
    require(!place.ok() || place->starts_with('/'));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_yaml(text);
  static const VerbTable verbs = all_stages();
  const auto found = load_pipeline_text(text, "fuzz.yaml", "/pipelines", {}, verbs);
  if (!found) {
    require(!found.error().message.empty());
    return 0;
  }
  const LoadedPipeline& loaded = **found;
  check_diagnostics(loaded, text);
  static_cast<void>(memory_budget(loaded.pipeline));
  static_cast<void>(thread_budget(loaded.pipeline, {}));
  if (loaded.diagnostics.errors() > 0) return 0;
  require(loaded.checked.order.size() == loaded.pipeline.stages.size());
  static_cast<void>(foreign_inputs(loaded.pipeline, loaded.checked, loaded.params).size());
  resolve_all(loaded, false);
  resolve_all(loaded, true);
  return 0;
}
