#include "orchestrator/pipeline/pipeline.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "orchestrator/pipeline/expression.h"

namespace apr::pipeline {
namespace {

std::optional<std::array<int, 3>> parse_version(std::string_view text) {
  std::array<int, 3> version{};
  for (std::size_t part = 0; part < 3; ++part) {
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, version[part]);
    if (read.ec != std::errc{} || version[part] < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
    if (text.empty()) return version;
    if (text[0] != '.' || part == 2) return std::nullopt;
    text.remove_prefix(1);
  }
  return std::nullopt;
}

}  // namespace

std::optional<bool> version_in_range(std::string_view version, std::string_view range) {
  const auto own = parse_version(version);
  if (!own) return std::nullopt;
  bool inside = true;
  bool any = false;
  while (true) {
    const std::size_t begin = range.find_first_not_of(" ,");
    if (begin == std::string_view::npos) break;
    range.remove_prefix(begin);
    std::string_view term = range.substr(0, range.find_first_of(" ,"));
    range.remove_prefix(term.size());
    std::string_view sign = "=";
    for (const std::string_view candidate : {">=", "<=", "==", ">", "<", "="}) {
      if (term.starts_with(candidate)) {
        sign = candidate;
        term.remove_prefix(candidate.size());
        break;
      }
    }
    const auto bound = parse_version(term);
    if (!bound) return std::nullopt;
    any = true;
    if (sign == ">=") inside = inside && *own >= *bound;
    if (sign == "<=") inside = inside && *own <= *bound;
    if (sign == ">") inside = inside && *own > *bound;
    if (sign == "<") inside = inside && *own < *bound;
    if (sign == "=" || sign == "==") inside = inside && *own == *bound;
  }
  if (!any) return std::nullopt;
  return inside;
}

const std::vector<std::string>& retry_causes() {
  static const std::vector<std::string> causes{"timeout", "io",        "network",
                                               "load",    "inference", "generic"};
  return causes;
}

std::optional<std::uint64_t> parse_duration(std::string_view text) {
  std::uint64_t count = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, count);
  if (read.ec != std::errc{} || count > 1'000'000'000) return std::nullopt;
  const std::string_view unit(read.ptr, static_cast<std::size_t>(end - read.ptr));
  if (unit == "ms") return count;
  if (unit == "s") return count * 1000;
  if (unit == "m") return count * 60'000;
  if (unit == "h") return count * 3'600'000;
  return std::nullopt;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& candidates,
                       std::string_view what) {
  if (const std::string near = nearest_name(word, candidates); !near.empty()) {
    return cat("did you mean '", near, "'?");
  }
  if (candidates.empty()) return cat("there are no ", what);
  return cat("known ", what, ": ", join_names(candidates));
}

const StageSpec* Pipeline::find_stage(std::string_view stage) const {
  const auto found = std::find_if(stages.begin(), stages.end(),
                                  [&](const StageSpec& spec) { return spec.name == stage; });
  return found == stages.end() ? nullptr : &*found;
}

const ParamSpec* Pipeline::find_param(std::string_view param) const {
  const auto found = std::find_if(params.begin(), params.end(),
                                  [&](const ParamSpec& spec) { return spec.param.name == param; });
  return found == params.end() ? nullptr : &*found;
}

const StageGroup* Pipeline::find_group(std::string_view group) const {
  const auto found = std::find_if(groups.begin(), groups.end(),
                                  [&](const StageGroup& other) { return other.name == group; });
  return found == groups.end() ? nullptr : &*found;
}

std::vector<std::string> Pipeline::group_names() const {
  std::vector<std::string> names;
  for (const StageGroup& group : groups) names.push_back(group.name);
  return names;
}

std::optional<Pipeline::Selection> Pipeline::select(const Reference& reference, const Json& matrix,
                                                    Problem& problem) const {
  const auto none = [&](std::string message, std::string hint) {
    problem = {reference.offset, std::move(message), std::move(hint)};
    return std::nullopt;
  };
  const StageGroup* group = find_group(reference.name);
  if (group == nullptr) {
    return none(cat("there is no stage '", reference.name, "'"),
                suggestion(reference.name, group_names(), "stages"));
  }
  Selection selection;
  if (group->broken) return none({}, {});
  if (group->axes.empty() && reference.select.empty()) {
    selection.stages = {group->first};
    return selection;
  }
  if (group->axes.empty()) {
    return none(cat("stage '", group->name, "' has no matrix"), "leave out the brackets");
  }
  const std::string example = stages[group->first].name;
  if (reference.select.empty()) {
    return none(cat("stage '", group->name, "' has a matrix, so it is ", group->count, " stages"),
                cat("say which: ", example, ", or all of them: ", group->name, "[*]"));
  }
  const bool all = reference.select.size() == 1 && reference.select[0].kind == Selector::Kind::all;
  if (!all && reference.select.size() != group->axes.size()) {
    return none(cat("stage '", group->name, "' has ", group->axes.size(), " axes (",
                    join_names(group->axes), "), not ", reference.select.size()),
                cat("write for example ", example, ", or ", group->name, "[*]"));
  }
  for (const Selector& selector : reference.select) {
    selection.list = selection.list || selector.kind == Selector::Kind::all;
    if (selector.kind == Selector::Kind::axis && !matrix.contains(selector.text)) {
      std::vector<std::string> known;
      for (const auto& [key, ignored] : matrix.as_object()) known.push_back(key);
      return none(cat("there is no matrix.", selector.text, " here"),
                  suggestion(selector.text, known, "axes"));
    }
  }
  for (std::size_t i = group->first; i < group->first + group->count; ++i) {
    const auto& values = stages[i].combination;
    bool fits = true;
    for (std::size_t axis = 0; !all && axis < values.size(); ++axis) {
      const Selector& selector = reference.select[axis];
      if (selector.kind == Selector::Kind::label) {
        fits = fits && values[axis].label == selector.text;
      } else if (selector.kind == Selector::Kind::value) {
        const Json& value = values[axis].value;
        fits = fits && selector.text == (value.is_string() ? value.as_string() : value.dump());
      } else if (selector.kind == Selector::Kind::axis) {
        fits = fits && values[axis].value == matrix[selector.text];
      }
    }
    if (fits) selection.stages.push_back(i);
  }
  if (!selection.stages.empty()) return selection;
  std::vector<std::string> names;
  for (std::size_t i = group->first; i < group->first + group->count; ++i) {
    names.push_back(stages[i].name);
  }
  if (names.size() > 8) {
    names.resize(8);
    names.emplace_back("…");
  }
  return none(cat("the matrix of '", group->name, "' has no combination ", reference.to_string()),
              cat("there are: ", join_names(names)));
}

std::vector<std::string> Pipeline::param_names() const {
  std::vector<std::string> names;
  for (const ParamSpec& param : params) names.push_back(param.param.name);
  return names;
}

}  // namespace apr::pipeline
