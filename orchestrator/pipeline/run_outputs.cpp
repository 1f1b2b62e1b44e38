// Results of a run at their places: published outputs and the tables of the report.
#include <algorithm>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "orchestrator/pipeline/publish.h"
#include "orchestrator/pipeline/run.h"

namespace apr::pipeline {
namespace {

bool is_settled(const StageResult& stage) {
  return stage.state == StageState::cached || stage.state == StageState::ran ||
         stage.state == StageState::skipped || stage.allowed;
}

}  // namespace

/// Publishes every output whose stages are all done. Call with the mutex held.
Status Run::publish_what_is_ready() {
  if (!request_.options.publish) return {};
  for (const OutputSpec& output : pipeline().outputs) {
    if (claimed_.contains(output.name) || !is_ready(output)) continue;
    claimed_.insert(output.name);
    APR_TRY(publish_output(output));
  }
  return {};
}

bool Run::is_ready(const OutputSpec& output) const {
  if (const StageSpec* spec = pipeline().find_stage(output.stage)) {
    return is_settled(results_[pipeline().index_of(*spec)]);
  }
  Problem problem;
  const auto from = TextTemplate::parse(output.from.text, problem);
  if (!from) return false;
  const auto references = from->references();
  return std::all_of(references.begin(), references.end(), [&](const Reference& reference) {
    const auto selection = pipeline().select(reference, {}, problem);
    return selection && std::all_of(selection->stages.begin(), selection->stages.end(),
                                    [&](std::size_t index) { return is_settled(results_[index]); });
  });
}

/// Empty if it comes from a stage that gave nothing.
Result<std::string> Run::path_of(const OutputSpec& output) const {
  if (const StageSpec* spec = pipeline().find_stage(output.stage)) {
    const std::size_t index = pipeline().index_of(*spec);
    if (facts_[index].skipped) return std::string();
    Problem problem;
    const auto from = TextTemplate::parse(output.from.text, problem);
    return facts_[index].output(from ? from->references().front().port : "");
  }
  static const Json none = Json::object();
  APR_ASSIGN(const Json path,
             evaluate(output.from, make_lookup(pipeline(), request_.params, none, facts_of()),
                      pipeline().file));
  return path.as_string();
}

/// What lies at the places is said by the record in the state folder: other runs write there, too.
/// Callers hold `State::lock_places`.
void Run::read_places() {
  const Json record = state_.record(pipeline().name);
  for (const char* list : {"published", "publishing"}) {
    if (!record[list].is_null()) record_.set(list, record[list]);
  }
}

Status Run::publish_output(const OutputSpec& output) {
  APR_ASSIGN(const std::string path, path_of(output));
  if (path.empty()) return {};
  const auto made = workshop_.known_output(path);
  if (!made) return make_error(ErrorCode::generic, cat("output '", output.name, "' was not made"));
  Published published;
  published.name = output.name;
  APR_ASSIGN(published.target, output_place(pipeline(), output));
  published.digest = made->digest;
  published.size = made->size;
  now_.outputs[output.name] = published.digest.hex();
  APR_TRY(hold_to_lock());
  const std::string key = place_key(pipeline(), published.target);
  APR_ASSIGN(const FileLock lock, state_.lock_places());
  read_places();
  const std::vector<std::string> ours = our_digests(record_, key);
  // Recorded before and after: whoever is killed in between still knows what is its own.
  Json intended = record_["publishing"];
  intended.set(key, published.digest.hex());
  record_.set("publishing", std::move(intended));
  APR_TRY(state_.set_record(pipeline().name, record_));
  APR_ASSIGN(published.written,
             publish(*made, published.target, ours, request_.options.force, workshop_.book()));
  Json places = record_["published"];
  places.set(key, published.digest.hex());
  record_.set("published", std::move(places));
  APR_TRY(state_.set_record(pipeline().name, record_));
  observer_.published(published);
  result_.published.push_back(std::move(published));
  return {};
}

/// Outputs are published as they become ready, and told in the order of the file.
void Run::sort_published() {
  const auto place = [&](const Published& published) {
    return std::ranges::find(pipeline().outputs, published.name, &OutputSpec::name);
  };
  std::ranges::sort(result_.published, {}, place);
}

void Run::fill_tables() {
  for (const TableSpec& spec : pipeline().report.tables) {
    const StageGroup* group = pipeline().find_group(spec.rows);
    if (group == nullptr) continue;
    TableResult table;
    table.title = spec.title;
    table.chart_x = spec.chart_x;
    table.chart_y = spec.chart_y;
    table.columns.push_back(join_names(group->axes));
    table.units.emplace_back();
    for (const TableColumn& column : spec.columns) {
      table.columns.push_back(column.title);
      table.units.push_back(column.unit);
    }
    for (std::size_t i = group->first; i < group->first + group->count; ++i) {
      const StageSpec& row_stage = pipeline().stages[i];
      std::vector<Json> row;
      std::string label;
      for (const MatrixValue& value : row_stage.combination) {
        label += cat(label.empty() ? "" : ", ",
                     value.value.is_string() ? value.value.as_string() : value.value.dump());
      }
      row.emplace_back(std::move(label));
      for (const TableColumn& column : spec.columns) {
        // What a stage did not give is a gap in the table, not a failure of the run.
        const auto value = evaluate(
            column.value, make_lookup(pipeline(), request_.params, row_stage.matrix, facts_of()),
            pipeline().file);
        row.push_back(value ? *value : Json());
      }
      table.rows.push_back(std::move(row));
    }
    result_.tables.push_back(std::move(table));
  }
}

}  // namespace apr::pipeline
