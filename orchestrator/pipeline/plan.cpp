#include "orchestrator/pipeline/plan.h"

#include <set>

#include "core/base/cat.h"
#include "orchestrator/pipeline/gate_kinds.h"
#include "orchestrator/pipeline/resolve.h"

namespace apr::pipeline {
namespace {

std::string shown(const YamlNode& node) {
  if (node.is_text()) return node.text;
  return node.to_json().dump();
}

std::string describe(const GateSpec& gate) {
  std::string text = gate.kind;
  for (const Setting& setting : gate.settings) {
    text += cat(text == gate.kind ? ": " : ", ", setting.name, " ", shown(setting.value));
  }
  return text;
}

class Planner {
 public:
  Planner(const RunRequest& request, State& state, PluginHost& plugins)
      : request_(request),
        workshop_(plugins, state),
        record_(state.record(request.pipeline.name)),
        facts_(request.checked.stages.size()),
        known_(request.checked.stages.size(), false),
        entries_(request.checked.stages.size()) {}

  Result<std::vector<PlannedStage>> plan() {
    APR_TRY(check_inputs(request_, workshop_, nullptr));
    std::vector<PlannedStage> planned(facts_.size());
    for (const std::size_t index : request_.checked.order) {
      APR_ASSIGN(planned[index], plan_stage(index));
    }
    std::vector<PlannedStage> ordered;
    for (const std::size_t index : request_.checked.order) {
      ordered.push_back(std::move(planned[index]));
    }
    return ordered;
  }

 private:
  Result<PlannedStage> plan_stage(std::size_t index) {
    const CheckedStage& stage = request_.checked.stages[index];
    PlannedStage planned;
    planned.name = stage.spec->name;
    planned.verb = stage.verb->info().name;
    planned.ports = stage.ports;
    for (const std::size_t other : stage.dependencies) {
      planned.after.push_back(request_.checked.stages[other].spec->name);
    }
    for (const GateSpec& gate : stage.spec->gates) planned.gates.push_back(describe(gate));

    std::string unknown;  // the first stage whose results would be needed now
    const auto lookup =
        make_lookup(request_.params.values, [&](std::string_view name) -> const StageFacts* {
          const StageSpec* spec = request_.pipeline.find_stage(name);
          const auto other = static_cast<std::size_t>(spec - request_.pipeline.stages.data());
          if (known_[other]) return &facts_[other];
          if (unknown.empty()) unknown = name;
          return nullptr;
        });
    auto resolved = resolve_stage(request_.pipeline, stage, lookup);
    if (!unknown.empty()) {
      const bool maybe = stage.spec->when.has_value();
      planned.action = maybe ? PlannedStage::Action::open : PlannedStage::Action::run;
      planned.reason = cat("depends on '", unknown, "', which has to run first");
      return planned;
    }
    if (!resolved) return std::move(resolved).error();
    if (resolved->skip) {
      planned.action = PlannedStage::Action::skip;
      planned.reason = resolved->reason;
      known_[index] = true;
      facts_[index].skipped = true;
      return planned;
    }
    Job job;
    job.label = planned.name;
    job.verb = stage.verb;
    job.params = std::move(resolved->params);
    job.ports = stage.ports;
    auto prepared = workshop_.prepare(std::move(job));
    if (!prepared) return std::move(prepared).error().within(cat("stage '", planned.name, "'"));
    planned.key = prepared->key;
    planned.estimate = stage.verb->estimate(prepared->values);
    if (auto entry = workshop_.find(*prepared)) {
      planned.action = PlannedStage::Action::cached;
      workshop_.learn(*entry);
      entries_[index] = *std::move(entry);
      known_[index] = true;
      facts_[index].report = entries_[index].report;
      facts_[index].output = [this, index](std::string_view port) {
        const Output* output = entries_[index].find(port);
        return output == nullptr ? std::string() : output->path;
      };
      return planned;
    }
    planned.reason = why(*prepared);
    return planned;
  }

  std::string why(const PreparedJob& prepared) const {
    if (!prepared.job.verb->info().reproducible) return "its result is not reproducible";
    const Json& before = record_["stages"][prepared.job.label];
    if (before.is_null()) return "never ran";
    const std::string what = difference(before, prepared.components);
    return what.empty() ? "its result is no longer in the cache" : what;
  }

  const RunRequest& request_;
  Workshop workshop_;
  Json record_;
  std::vector<StageFacts> facts_;
  std::vector<bool> known_;
  std::vector<CacheEntry> entries_;
};

}  // namespace

std::string_view name_of(PlannedStage::Action action) {
  switch (action) {
    case PlannedStage::Action::cached:
      return "cached";
    case PlannedStage::Action::run:
      return "run";
    case PlannedStage::Action::skip:
      return "skip";
    case PlannedStage::Action::open:
      return "open";
  }
  return "unknown";
}

Result<std::vector<PlannedStage>> plan_pipeline(const RunRequest& request, State& state,
                                                PluginHost& plugins) {
  return Planner(request, state, plugins).plan();
}

Json to_json(const PlannedStage& stage) {
  const auto list = [](const std::vector<std::string>& names) {
    Json json = Json::array();
    for (const std::string& name : names) json.push_back(name);
    return json;
  };
  Json json = Json::object();
  json.set("name", stage.name);
  json.set("uses", stage.verb);
  json.set("action", name_of(stage.action));
  if (!stage.reason.empty()) json.set("reason", stage.reason);
  json.set("after", list(stage.after));
  json.set("gates", list(stage.gates));
  json.set("outputs", list(stage.ports));
  json.set("memory_bytes", stage.estimate.memory_bytes);
  json.set("output_bytes", stage.estimate.output_bytes);
  if (!stage.key.empty()) json.set("key", stage.key);
  return json;
}

}  // namespace apr::pipeline
