#include "orchestrator/stages/history.h"

#include <algorithm>

#include "core/base/cat.h"
#include "core/package/exported_lineage.h"
#include "core/package/lineage.h"
#include "orchestrator/cli/format.h"

namespace apr {

namespace {

std::string shortly(std::string_view digest) {
  return cat(digest.substr(0, 12), "…");
}

class Checker {
 public:
  Checker(const Package& package, const std::optional<AprVerification>& found)
      : package_(package), found_(found) {}

  History run(const std::vector<Relative>& relatives) {
    for (const LineageRecord& record : package_.lineage()) add_step(record);
    check_seal();
    check_links();
    check_carried();
    for (const Relative& relative : relatives) check_relative(relative);
    return std::move(history_);
  }

 private:
  void problem(std::string text) { history_.problems.push_back(std::move(text)); }

  void add_step(const LineageRecord& record) {
    HistoryStep step;
    step.record = &record;
    for (const LineageRecord::Input& input : record.inputs) {
      step.inputs.push_back({input.name, input.digest.hex(), LinkStatus::recorded, {}});
    }
    history_.steps.push_back(std::move(step));
  }

  std::string step_name(std::size_t i) const {
    return cat("step ", i + 1, " (", history_.steps[i].record->stage, ")");
  }

  /// The model's own bytes: what the last step gave.
  void check_seal() {
    if (!found_) {
      // Another format: the importer has just read and hashed every file.
      if (history_.steps.empty()) return;
      HistoryStep& last = history_.steps.back();
      for (HistoryInput& input : last.inputs) {
        input.status = LinkStatus::verified;
        input.detail = "read just now";
      }
      if (const Json& why = last.record->parameters[kLostHistory]; why.is_string()) {
        problem(cat("the history in ", kExportedLineageFile,
                    " no longer belongs to these files: ", why.as_string()));
      }
      return;
    }
    if (!package_.trust_problem().empty()) {
      history_.lost.push_back("the history, the digests and the content root");
      problem(cat("another program rewrote the file, so its history no longer belongs to it: ",
                  package_.trust_problem()));
    } else if (!package_.content_root()) {
      history_.lost.push_back("the history: the file never had one");
      problem("there is no history in the file");
    } else if (history_.steps.empty()) {
      history_.lost.push_back("the steps before this file");
      problem("the history has no steps");
    }
    for (const std::string& text : found_->problems) problem(text);
    if (history_.steps.empty() || !package_.content_root()) return;
    HistoryStep& last = history_.steps.back();
    last.gave = package_.content_root()->hex();
    const bool sound = found_->problems.empty();
    last.gave_status = sound ? LinkStatus::verified : LinkStatus::broken;
    last.gave_detail = sound ? cat("this file: ", plural(found_->tensors_checked, "tensor"),
                                   ", files, tokenizer and history match it")
                             : "this file no longer has it";
  }

  const HistoryInput* input_named(std::size_t step, std::string_view name) const {
    for (const HistoryInput& input : history_.steps[step].inputs) {
      if (input.name == name) return &input;
    }
    return nullptr;
  }

  /// Every step after the first was made from the one before.
  void check_links() {
    for (std::size_t i = 0; i < history_.steps.size(); ++i) {
      const Json& why = history_.steps[i].record->parameters[kLostHistory];
      if (!why.is_string()) continue;
      history_.lost.push_back(cat("the steps before ", step_name(i), ": ", why.as_string()));
    }
    for (std::size_t i = 1; i < history_.steps.size(); ++i) {
      HistoryStep& before = history_.steps[i - 1];
      const bool exported = before.record->stage == "export";
      const HistoryInput* link = exported ? input_named(i, kExportedLineageFile)
                                 : history_.steps[i].inputs.empty()
                                     ? nullptr
                                     : &history_.steps[i].inputs.front();
      if (link == nullptr) {
        before.gave_status = LinkStatus::broken;
        before.gave_detail = "not known: the next step does not name what it was made from";
        problem(cat(step_name(i), " does not name what it was made from"));
        continue;
      }
      before.gave = link->digest;
      before.gave_detail = cat("as ", step_name(i), " names it");
      before.gave_status = link->status;
    }
    if (history_.steps.empty() || !history_.steps.front().inputs.empty()) return;
    history_.lost.push_back(cat("what ", step_name(0), " was made from"));
    problem(cat(step_name(0), " does not name what it was made from"));
  }

  /// Small files travel with the model: those that the last import names must be those it read.
  void check_carried() {
    if (history_.steps.empty() || !found_) return;
    std::size_t step = 0;
    for (std::size_t i = 1; i < history_.steps.size(); ++i) {
      if (history_.steps[i].record->stage == "import") step = i;
    }
    for (HistoryInput& input : history_.steps[step].inputs) {
      const std::string* carried = package_.file(input.name);
      if (carried == nullptr) continue;
      const std::string digest = sha256(*carried).hex();
      if (digest == input.digest) {
        input.status = LinkStatus::verified;
        input.detail = "carried in the file, equal";
      } else {
        input.status = LinkStatus::broken;
        input.detail = cat("the one carried in the file is ", shortly(digest));
        problem(cat(step_name(step), " read ", input.name, " ", shortly(input.digest),
                    ", but the one carried in the file is ", shortly(digest)));
      }
    }
  }

  void check_relative(const Relative& relative) {
    for (const std::string& text : relative.problems) {
      problem(cat(relative.package->path(), ": ", text));
    }
    if (relative.digest) {
      check_parent(relative);
    } else {
      check_source(relative);
    }
  }

  void check_parent(const Relative& parent) {
    const std::string digest = parent.digest->hex();
    for (std::size_t i = 0; i < history_.steps.size(); ++i) {
      for (HistoryInput& input : history_.steps[i].inputs) {
        if (input.digest != digest) continue;
        const bool sound = parent.problems.empty();
        input.status = sound ? LinkStatus::verified : LinkStatus::broken;
        input.detail = cat(sound ? "" : "damaged: ", parent.package->path());
        if (i > 0 && history_.steps[i - 1].gave == digest) {
          history_.steps[i - 1].gave_status = input.status;
          history_.steps[i - 1].gave_detail = input.detail;
        }
        check_beginning(parent, i, &input == &history_.steps[i].inputs.front());
        return;
      }
    }
    problem(cat(parent.package->path(), " (", shortly(digest), ") is no part of this history"));
  }

  /// A parent's own history is the beginning of its child's.
  void check_beginning(const Relative& parent, std::size_t step, bool first_input) {
    const std::vector<LineageRecord>& own = parent.package->lineage();
    const std::vector<LineageRecord>& all = package_.lineage();
    if (!first_input || own.empty()) return;
    const bool same =
        own.size() == step &&
        encode_lineage(own) ==
            encode_lineage(std::span<const LineageRecord>(all).first(std::min(step, all.size())));
    if (same) return;
    problem(cat("the history in ", parent.package->path(), " (", plural(own.size(), "step"),
                ") is not what ",
                step == 0 ? "this one begins with" : cat("comes before ", step_name(step))));
  }

  /// Files of a source, by their names.
  void check_source(const Relative& source) {
    std::size_t known = 0;
    const std::vector<LineageRecord>& own = source.package->lineage();
    if (!own.empty()) {  // its last step names its files
      for (const LineageRecord::Input& file : own.back().inputs) known += check_file(source, file);
    }
    if (known == 0) problem(cat(source.package->path(), " is no part of this history"));
  }

  /// 1 if a step read a file of this name. Several may have: those that read these bytes are
  /// verified; where none did, the last one is broken.
  std::size_t check_file(const Relative& source, const LineageRecord::Input& file) {
    const std::string digest = file.digest.hex();
    HistoryInput* last = nullptr;
    std::size_t last_step = 0;
    bool equal = false;
    for (std::size_t i = 0; i < history_.steps.size(); ++i) {
      for (HistoryInput& input : history_.steps[i].inputs) {
        if (input.name != file.name) continue;
        last = &input;
        last_step = i;
        if (input.digest != digest) continue;
        equal = true;
        input.status = LinkStatus::verified;
        input.detail = cat("equal in ", source.package->path());
        if (i > 0 && history_.steps[i - 1].gave == digest) {
          history_.steps[i - 1].gave_status = LinkStatus::verified;
          history_.steps[i - 1].gave_detail = input.detail;
        }
      }
    }
    if (last != nullptr && !equal) {
      last->status = LinkStatus::broken;
      last->detail = cat("another file in ", source.package->path());
      problem(cat(step_name(last_step), " read ", file.name, " ", shortly(last->digest), ", but ",
                  source.package->path(), " has ", shortly(digest)));
    }
    return last != nullptr ? 1 : 0;
  }

  const Package& package_;
  const std::optional<AprVerification>& found_;
  History history_;
};

Json texts(const std::vector<std::string>& list) {
  Json json = Json::array();
  for (const std::string& text : list) json.push_back(text);
  return json;
}

}  // namespace

std::string_view name_of(LinkStatus status) {
  switch (status) {
    case LinkStatus::verified:
      return "verified";
    case LinkStatus::recorded:
      return "recorded";
    case LinkStatus::broken:
      return "broken";
  }
  return "";
}

History check_history(const Package& package, const std::optional<AprVerification>& found,
                      const std::vector<Relative>& relatives) {
  return Checker(package, found).run(relatives);
}

Json history_as_json(const History& history) {
  Json steps = Json::array();
  std::uint64_t number = 0;
  for (const HistoryStep& step : history.steps) {
    Json inputs = Json::array();
    for (const HistoryInput& input : step.inputs) {
      inputs.push_back(Json::object({{"name", input.name},
                                     {"sha256", input.digest},
                                     {"status", name_of(input.status)},
                                     {"detail", input.detail}}));
    }
    const Json gave = Json::object({{"digest", step.gave.empty() ? Json() : Json(step.gave)},
                                    {"status", name_of(step.gave_status)},
                                    {"detail", step.gave_detail}});
    steps.push_back(Json::object({{"step", ++number},
                                  {"stage", step.record->stage},
                                  {"tool", step.record->tool},
                                  {"plugin", step.record->plugin},
                                  {"parameters", step.record->parameters},
                                  {"inputs", std::move(inputs)},
                                  {"output", gave}}));
  }
  return Json::object({{"steps", std::move(steps)},
                       {"verified", history.verified()},
                       {"broken", std::uint64_t{history.problems.size()}},
                       {"problems", texts(history.problems)},
                       {"lost", texts(history.lost)}});
}

}  // namespace apr
