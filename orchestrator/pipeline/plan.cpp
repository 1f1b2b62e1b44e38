#include "orchestrator/pipeline/plan.h"

#include <algorithm>
#include <set>

#include "core/base/cat.h"
#include "orchestrator/cli/report_error.h"
#include "orchestrator/pipeline/gate_kinds.h"
#include "orchestrator/pipeline/publish.h"
#include "orchestrator/pipeline/resolve.h"
#include "orchestrator/pipeline/values.h"

namespace apr::pipeline {
namespace {

/// What a process takes beside its data.
constexpr std::uint64_t kProcessBytes = std::uint64_t{64} << 20;

/// A gate as people read it. Parameters and the values of the matrix are put in; what only the run
/// knows stays as it is written.
std::string describe(const GateSpec& gate, const Expression::Lookup& lookup) {
  bool open = false;  // refers to what only the run knows
  const auto fixed = [&](const Reference& reference) -> Result<Json> {
    if (reference.kind == Reference::Kind::param || reference.kind == Reference::Kind::matrix) {
      return lookup(reference);
    }
    open = true;
    return Json();
  };
  std::string text = gate.kind;
  for (const Setting& setting : gate.settings) {
    open = false;
    const auto value = evaluate(setting.value, fixed, {});
    const Json shown = value && !open ? *value : setting.value.to_json();
    text += cat(text == gate.kind ? ": " : ", ", setting.name, " ",
                shown.is_string() ? shown.as_string() : shown.dump());
  }
  return text;
}

class Planner {
 public:
  Planner(const RunRequest& request, State& state, PluginHost& plugins)
      : request_(request),
        state_(state),
        workshop_(plugins, state),
        record_(state.record(request.pipeline.name)),
        facts_(request.checked.stages.size()),
        known_(request.checked.stages.size(), false),
        planned_(request.checked.stages.size()),
        entries_(request.checked.stages.size()) {
    workshop_.set_environment(request.params.environment);
  }

  Result<Plan> plan() {
    APR_TRY(check_inputs(request_, workshop_, nullptr));
    for (const std::size_t index : request_.checked.order) {
      APR_ASSIGN(planned_[index], plan_stage(index));
    }
    Plan plan;
    for (const std::size_t index : request_.checked.order) {
      plan.stages.push_back(planned_[index]);
    }
    sum_up(plan);
    look_at_places(plan);
    refuse(plan);
    return plan;
  }

 private:
  const CheckedStage& stage(std::size_t index) const { return request_.checked.stages[index]; }

  FactsOf facts_of(std::string* unknown, std::optional<std::size_t> own = {}) {
    return [this, unknown, own](std::size_t other) -> const StageFacts* {
      if (known_[other] || own == other) return &facts_[other];
      if (unknown != nullptr && unknown->empty()) *unknown = stage(other).spec->name;
      return nullptr;
    };
  }

  Result<PlannedStage> plan_stage(std::size_t index) {
    const CheckedStage& checked = stage(index);
    const StageSpec& spec = *checked.spec;
    PlannedStage planned;
    planned.name = spec.name;
    planned.verb = checked.verb->info().name;
    planned.ports = checked.ports;
    for (const std::size_t other : checked.dependencies) {
      planned.after.push_back(stage(other).spec->name);
    }
    std::string unknown;  // the first stage whose results would be needed now
    const auto lookup =
        make_lookup(request_.pipeline, request_.params, spec.matrix, facts_of(&unknown));
    for (const GateSpec& gate : spec.gates) {
      PlannedGate one;
      one.text = describe(gate, lookup);
      planned.gates.push_back(std::move(one));
    }
    auto resolved = resolve_stage(request_.pipeline, checked, lookup);
    if (!unknown.empty()) {
      planned.action = spec.when ? PlannedStage::Action::open : PlannedStage::Action::run;
      planned.reason = cat("depends on '", unknown, "', which has to run first");
      estimate_from_dependencies(index, planned);
      return planned;
    }
    if (!resolved) return std::move(resolved).error();
    if (resolved->skip) {
      planned.action = PlannedStage::Action::skip;
      planned.reason = resolved->reason;
      planned.gates.clear();
      known_[index] = true;
      facts_[index].skipped = true;
      return planned;
    }
    Job job;
    job.label = planned.name;
    job.verb = checked.verb;
    job.params = std::move(resolved->params);
    job.ports = checked.ports;
    auto prepared = workshop_.prepare(std::move(job));
    if (!prepared) return std::move(prepared).error().within(cat("stage '", planned.name, "'"));
    planned.key = prepared->key;
    planned.components = prepared->components;
    if (auto entry = workshop_.find(*prepared)) {
      take_from_cache(index, *std::move(entry));
      planned.action = PlannedStage::Action::cached;
      plan_gates(index, planned);
      return planned;
    }
    planned.reason = why(*prepared);
    const Estimate estimate = checked.verb->estimate(prepared->values);
    planned.needs.input_bytes = prepared->input_bytes;
    complete_estimate(index, planned, estimate);
    return planned;
  }

  void take_from_cache(std::size_t index, CacheEntry entry) {
    workshop_.learn(entry);
    entries_[index] = std::move(entry);
    known_[index] = true;
    facts_[index].report = entries_[index].report;
    facts_[index].output = [this, index](std::string_view port) {
      const Output* output = entries_[index].find(port);
      return output == nullptr ? std::string() : output->path;
    };
  }

  /// A cached stage's gates are held again with every run: what they measured may be cached, too.
  void plan_gates(std::size_t index, PlannedStage& planned) {
    const CheckedStage& checked = stage(index);
    const Output* model = entries_[index].find(main_port(*checked.verb));
    for (std::size_t i = 0; i < checked.spec->gates.size(); ++i) {
      const GateSpec& gate = checked.spec->gates[i];
      PlannedGate& one = planned.gates[i];
      std::string missing;
      const auto values = resolve_gate(request_.pipeline, checked, gate,
                                       make_lookup(request_.pipeline, request_.params,
                                                   checked.spec->matrix, facts_of(&missing, index)),
                                       model == nullptr ? "" : model->path);
      if (!missing.empty()) {
        one.message = cat("depends on '", missing, "', which has to run first");
      } else if (!values) {
        one.state = PlannedGate::State::fails;
        one.message = values.error().message;
      } else {
        hold(index, gate.kind, *values, one);
      }
      if (one.state != PlannedGate::State::open) continue;
      planned.action = PlannedStage::Action::measure;
      if (planned.reason.empty()) planned.reason = cat("gate ", gate.kind, " ", one.message);
    }
  }

  /// Holds a gate if all it needs has been measured before.
  void hold(std::size_t index, const std::string& kind, const Json& values, PlannedGate& planned) {
    bool measured = true;
    GateTools tools;
    tools.report = &entries_[index].report;
    tools.size = size_of_artifact;
    tools.measure = [&](const std::string& verb,
                        const Json& params) -> Result<GateTools::Measurement> {
      Verb* found = request_.verbs.find(verb);
      if (found != nullptr && found->is_stage()) {
        Job job;
        job.label = kind;
        job.verb = static_cast<Stage*>(found);
        job.params = params;
        APR_ASSIGN(const PreparedJob prepared, workshop_.prepare(std::move(job)));
        if (auto entry = workshop_.find(prepared)) {
          return GateTools::Measurement{std::move(entry->report), 0};
        }
      }
      measured = false;
      return make_error(ErrorCode::generic, "not measured yet");
    };
    const auto outcome = evaluate_gate(kind, values, tools);
    if (!measured) {
      planned.message = "has to be measured";
    } else if (!outcome) {
      planned.state = PlannedGate::State::fails;
      planned.message = outcome.error().message;
    } else {
      planned.state = outcome->passed ? PlannedGate::State::holds : PlannedGate::State::fails;
      planned.message = outcome->message;
    }
  }

  /// Inputs that are not there yet are taken to be as large as their stages may make them.
  void estimate_from_dependencies(std::size_t index, PlannedStage& planned) {
    for (const std::size_t other : stage(index).dependencies) {
      planned.needs.input_bytes +=
          known_[other] ? size_of(entries_[other]) : planned_[other].needs.output_bytes;
    }
    complete_estimate(index, planned, {});
  }

  static std::uint64_t size_of(const CacheEntry& entry) {
    std::uint64_t bytes = 0;
    for (const Output& output : entry.outputs) bytes += output.size;
    return bytes;
  }

  void complete_estimate(std::size_t index, PlannedStage& planned, const Estimate& estimate) {
    const StageSpec& spec = *stage(index).spec;
    StageNeeds& needs = planned.needs;
    needs.memory_bytes =
        estimate.memory_bytes > 0 ? estimate.memory_bytes : kProcessBytes + needs.input_bytes;
    if (spec.resources.memory_bytes) needs.memory_bytes = *spec.resources.memory_bytes;
    needs.threads = spec.resources.threads.value_or(0);
    if (!planned.ports.empty()) {
      needs.output_bytes = estimate.output_bytes > 0 ? estimate.output_bytes : needs.input_bytes;
    }
    const Json& rate = record_["rates"][planned.verb];
    const double bytes = rate["bytes"].as_number();
    if (bytes > 0) {
      needs.seconds = rate["seconds"].as_number() * static_cast<double>(needs.input_bytes) / bytes;
    }
  }

  std::string why(const PreparedJob& prepared) const {
    if (!prepared.job.verb->info().reproducible) return "its result is not reproducible";
    const Json& before = record_["stages"][prepared.job.label];
    if (record_["failed"][prepared.job.label].as_boolean(false)) return "failed last time";
    if (before.is_null()) return "never ran";
    const std::string what = difference(before, prepared.components);
    return what.empty() ? "its result is no longer in the cache" : what;
  }

  void sum_up(Plan& plan) const {
    double seconds = 0;
    bool timed = true;
    for (const PlannedStage& planned : plan.stages) {
      const bool runs = planned.action == PlannedStage::Action::run ||
                        planned.action == PlannedStage::Action::open;
      if (!runs) continue;
      plan.peak_memory_bytes = std::max(plan.peak_memory_bytes, planned.needs.memory_bytes);
      plan.disk_bytes += planned.needs.output_bytes;
      timed = timed && planned.needs.seconds.has_value();
      seconds += planned.needs.seconds.value_or(0);
      const StageSpec* spec = request_.pipeline.find_stage(planned.name);
      if (spec == nullptr || !spec->timeout_ms || !planned.needs.seconds) continue;
      const double limit = static_cast<double>(*spec->timeout_ms) / 1000;
      if (*planned.needs.seconds > limit) {
        plan.remarks.push_back(cat("stage '", planned.name, "' may take about ",
                                   *planned.needs.seconds, " s; its timeout is ", limit, " s"));
      }
    }
    if (timed) plan.seconds = seconds;
  }

  /// A result may be in the cache while nothing lies at its place.
  void look_at_places(Plan& plan) const {
    for (const OutputSpec& output : request_.pipeline.outputs) {
      const auto path = output_place(request_.pipeline, output);
      if (!path) continue;  // reported by check_places
      const auto status = file_status(*path);
      plan.places.push_back({output.name, *path, status && status->kind != FileKind::missing});
    }
  }

  void refuse(Plan& plan) {
    auto refusal = Status{};
    if (auto secrets = Secrets::read(request_.pipeline); !secrets) {
      refusal = std::move(secrets).error();
    }
    if (refusal) refusal = check_places(request_, record_, workshop_);
    if (refusal) refusal = check_resources(request_, state_, plan);
    if (!refusal) {
      plan.refusal = std::move(refusal).error();
      return;
    }
    for (const PlannedStage& planned : plan.stages) {
      const StageSpec* spec = request_.pipeline.find_stage(planned.name);
      if (spec == nullptr || spec->allow_failure) continue;
      for (const PlannedGate& gate : planned.gates) {
        if (gate.state != PlannedGate::State::fails) continue;
        plan.refusal = make_error(
            ErrorCode::validation,
            cat("stage '", planned.name, "': its gate will fail: ", gate.message),
            place(request_.pipeline.file, spec->at),
            "what it measures has been measured before; mend its cause or move the limit");
        return;
      }
    }
  }

  const RunRequest& request_;
  State& state_;
  Workshop workshop_;
  Json record_;
  std::vector<StageFacts> facts_;
  std::vector<bool> known_;
  std::vector<PlannedStage> planned_;
  std::vector<CacheEntry> entries_;
};

}  // namespace

std::string_view name_of(PlannedStage::Action action) {
  switch (action) {
    case PlannedStage::Action::cached:
      return "cached";
    case PlannedStage::Action::measure:
      return "measure";
    case PlannedStage::Action::run:
      return "run";
    case PlannedStage::Action::skip:
      return "skip";
    case PlannedStage::Action::open:
      return "open";
  }
  return "unknown";
}

std::string_view name_of(PlannedGate::State state) {
  switch (state) {
    case PlannedGate::State::holds:
      return "holds";
    case PlannedGate::State::fails:
      return "fails";
    case PlannedGate::State::open:
      return "open";
  }
  return "unknown";
}

Result<Plan> plan_pipeline(const RunRequest& request, State& state, PluginHost& plugins) {
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
  Json gates = Json::array();
  for (const PlannedGate& gate : stage.gates) {
    Json one = Json::object({{"gate", gate.text}, {"state", name_of(gate.state)}});
    if (!gate.message.empty()) one.set("message", gate.message);
    gates.push_back(std::move(one));
  }
  json.set("gates", std::move(gates));
  json.set("outputs", list(stage.ports));
  json.set("memory_bytes", stage.needs.memory_bytes);
  json.set("input_bytes", stage.needs.input_bytes);
  json.set("output_bytes", stage.needs.output_bytes);
  json.set("seconds", stage.needs.seconds ? Json(*stage.needs.seconds) : Json());
  if (!stage.key.empty()) json.set("key", stage.key);
  return json;
}

Json to_json(const Plan& plan) {
  Json json = Json::object();
  Json stages = Json::array();
  for (const PlannedStage& stage : plan.stages) stages.push_back(to_json(stage));
  json.set("stages", std::move(stages));
  json.set("peak_memory_bytes", plan.peak_memory_bytes);
  json.set("disk_bytes", plan.disk_bytes);
  json.set("seconds", plan.seconds ? Json(*plan.seconds) : Json());
  Json places = Json::array();
  for (const Plan::Place& one : plan.places) {
    places.push_back(
        Json::object({{"output", one.output}, {"path", one.path}, {"there", one.there}}));
  }
  json.set("places", std::move(places));
  Json remarks = Json::array();
  for (const std::string& remark : plan.remarks) remarks.push_back(remark);
  json.set("remarks", std::move(remarks));
  if (plan.refusal) json.set("refusal", error_as_json(*plan.refusal)["error"]);
  return json;
}

}  // namespace apr::pipeline
