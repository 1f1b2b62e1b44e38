// Lint of values: what they refer to, and whether they fit where they stand.
#include "orchestrator/pipeline/checker.h"

namespace apr::pipeline {
namespace {

StaticType static_type(ParamType type) {
  switch (type) {
    case ParamType::boolean:
      return StaticType::boolean;
    case ParamType::integer:
    case ParamType::number:
    case ParamType::bytes:
      return StaticType::number;
    case ParamType::text:
    case ParamType::choice:
      return StaticType::text;
    case ParamType::texts:
      return StaticType::any;
  }
  return StaticType::any;
}

StaticType type_of_value(const Json& value) {
  if (value.is_null()) return StaticType::null;
  if (value.is_boolean()) return StaticType::boolean;
  return value.is_number() ? StaticType::number : StaticType::text;
}

std::vector<std::string> texts_of(const std::vector<Name>& names) {
  std::vector<std::string> texts;
  for (const Name& name : names) texts.push_back(name.text);
  return texts;
}

}  // namespace

const Json& Checker::matrix_at(const Where& where) const {
  static const Json none = Json::object();
  if (where.row != nullptr) return where.row->matrix;
  return where.stage ? pipeline_.stages[*where.stage].matrix : none;
}

bool Checker::check_reference(const Reference& reference, Position at, const Where& where) {
  if (reference.of_stage()) return check_stage_reference(reference, at, where);
  if (reference.kind != Reference::Kind::param) return check_variable(reference, at, where);
  used_params_.insert(reference.name);
  if (pipeline_.find_param(reference.name) != nullptr) return true;
  diagnostics_.error(at, cat("the pipeline has no parameter '", reference.name, "'"),
                     suggestion(reference.name, pipeline_.param_names(), "parameters"));
  return false;
}

/// matrix.AXIS, env.NAME, secrets.NAME.
bool Checker::check_variable(const Reference& reference, Position at, const Where& where) {
  const auto listed = [&](const std::vector<Name>& names) {
    return std::any_of(names.begin(), names.end(),
                       [&](const Name& name) { return name.text == reference.name; });
  };
  if (reference.kind == Reference::Kind::matrix) {
    if (matrix_at(where).contains(reference.name)) return true;
    const StageSpec* spec = where.row;
    if (spec == nullptr && where.stage) spec = &pipeline_.stages[*where.stage];
    const StageGroup* group = spec == nullptr ? nullptr : pipeline_.find_group(spec->group);
    if (group != nullptr && group->broken) return false;  // reported where the matrix stands
    if (group == nullptr || group->axes.empty()) {
      diagnostics_.error(at, cat("there is no matrix.", reference.name, " here"),
                         "only a stage with 'matrix' has such values");
      return false;
    }
    std::vector<std::string> known = group->axes;
    known.insert(known.end(), group->extras.begin(), group->extras.end());
    // What `include` adds to some combinations is null in the others.
    if (std::find(known.begin(), known.end(), reference.name) != known.end()) return true;
    diagnostics_.error(at, cat("the matrix has no '", reference.name, "'"),
                       suggestion(reference.name, known, "names"));
    return false;
  }
  if (reference.kind == Reference::Kind::environment) {
    if (listed(pipeline_.environment)) return true;
    diagnostics_.error(at, cat("the pipeline may not read the variable '", reference.name, "'"),
                       listed(pipeline_.secrets)
                           ? cat("it is a secret: write secrets.", reference.name)
                           : cat("allow it at the top of the file: env: [", reference.name, "]"));
    return false;
  }
  if (!listed(pipeline_.secrets)) {
    diagnostics_.error(at, cat("there is no secret '", reference.name, "'"),
                       pipeline_.secrets.empty()
                           ? cat("name it at the top of the file: secrets: [", reference.name, "]")
                           : suggestion(reference.name, texts_of(pipeline_.secrets), "secrets"));
    return false;
  }
  used_secrets_.insert(reference.name);
  if (where.secrets) return true;
  diagnostics_.error(at, "a secret cannot be used here",
                     "only under 'with:' of a stage, and not in a path");
  return false;
}

bool Checker::check_stage_reference(const Reference& reference, Position at, const Where& where) {
  if (where.only_params) {
    diagnostics_.error(at, "only parameters can be referred to here");
    return false;
  }
  Problem problem;
  const auto selection = pipeline_.select(reference, matrix_at(where), problem);
  if (!selection) {
    // A matrix that is wrong has been reported where it stands.
    if (!problem.message.empty()) diagnostics_.error(at, problem.message, problem.hint);
    return false;
  }
  for (const std::size_t index : selection->stages) {
    const bool own = where.stage == index;
    if (own && !where.own_results) {
      diagnostics_.error(at, cat("stage '", reference.name, "' refers to its own results"));
      return false;
    }
    if (where.stage && !own) dependencies_[*where.stage].insert(index);
    const Stage* verb = result_.stages[index].verb;
    if (verb == nullptr) return false;  // reported where it stands
    if (reference.kind == Reference::Kind::report) continue;
    const std::vector<std::string> ports = port_names(*verb);
    if (std::find(ports.begin(), ports.end(), reference.port) == ports.end()) {
      diagnostics_.error(at,
                         cat("stage '", reference.name, "' (", verb->info().name,
                             ") has no output '", reference.port, "'"),
                         ports.empty()
                             ? cat("it only reports: stages.", reference.name, ".report.KEY")
                             : suggestion(reference.port, ports, "outputs"));
      return false;
    }
    ports_[index].insert(reference.port);
    used_stages_.insert(index);
  }
  return true;
}

StaticType Checker::type_of(const Reference& reference, const Where& where) const {
  if (reference.of_stage()) {
    Problem ignored;
    const auto selection = pipeline_.select(reference, matrix_at(where), ignored);
    if (selection && selection->list) return StaticType::list;
    return reference.kind == Reference::Kind::output ? StaticType::text : StaticType::any;
  }
  if (reference.kind == Reference::Kind::secret) return StaticType::text;
  if (reference.kind != Reference::Kind::param) {
    const auto value = known_value(reference, where);
    return value ? type_of_value(*value) : StaticType::any;
  }
  const ParamSpec* spec = pipeline_.find_param(reference.name);
  if (spec == nullptr) return StaticType::any;
  const Json& value = params_.values[reference.name];
  if (spec->optional && value.is_null()) return StaticType::null;
  return static_type(spec->param.type);
}

bool Checker::value_is_known(const Reference& reference) const {
  if (reference.kind == Reference::Kind::param) return params_.values.contains(reference.name);
  return reference.kind == Reference::Kind::matrix ||
         reference.kind == Reference::Kind::environment;
}

Result<Json> Checker::known_value(const Reference& reference, const Where& where) const {
  if (reference.kind == Reference::Kind::param) return params_.values[reference.name];
  if (reference.kind == Reference::Kind::environment) return params_.environment[reference.name];
  return matrix_at(where)[reference.name];
}

/// Looks at one parsed text or condition; `at` maps offsets to places.
template <typename Parsed>
Sight Checker::look(const Parsed& parsed, const YamlNode& node, std::size_t skipped,
                    const Where& where) {
  Sight sight;
  for (const Reference& reference : parsed.references()) {
    const Position at = position_in(node, reference.offset + skipped);
    if (!check_reference(reference, at, where)) sight.sound = false;
    if (!value_is_known(reference)) sight.known = false;
  }
  if (!sight.sound) return sight;
  std::vector<Problem> problems;
  sight.type =
      parsed.check([&](const Reference& reference) { return type_of(reference, where); }, problems);
  for (const Problem& problem : problems) {
    diagnostics_.error(position_in(node, problem.offset + skipped), problem.message, problem.hint);
    sight.sound = false;
  }
  if (!sight.sound || !sight.known) return sight;
  auto value =
      parsed.evaluate([&](const Reference& reference) { return known_value(reference, where); });
  if (!value) {
    diagnostics_.error(node.at, value.error().message, value.error().hint);
    sight.sound = false;
  } else {
    sight.value = *std::move(value);
  }
  return sight;
}

Sight Checker::look_at(const YamlNode& node, const Where& where) {
  Sight sight;
  if (node.kind == YamlNode::Kind::list) {
    sight.value = Json::array();
    for (const YamlNode& item : node.items) {
      Sight inner = look_at(item, where);
      sight.sound = sight.sound && inner.sound;
      sight.known = sight.known && inner.known;
      sight.value.push_back(std::move(inner.value));
    }
    return sight;
  }
  if (!node.is_text()) {
    sight.value = node.to_json();
    return sight;
  }
  Problem problem;
  const auto text = TextTemplate::parse(node.text, problem);
  if (!text) {
    diagnostics_.error(position_in(node, problem.offset), problem.message, problem.hint);
    sight.sound = false;
    return sight;
  }
  return look(*text, node, 0, where);
}

/// Checks a value against the parameter it is given for.
void Checker::check_value(const Param& param, const YamlNode& node, const Where& where,
                          const std::string& what) {
  const Sight sight = look_at(node, where);
  if (!sight.sound) return;
  if (sight.known) {
    if (sight.value.is_null()) {
      if (param.required && node.kind == YamlNode::Kind::null) {
        diagnostics_.error(node.at, cat(what, " must not be empty"));
      }
      return;
    }
    if (const auto checked = check_param(param, sight.value); !checked) {
      diagnostics_.error(node.at, cat(what, ": ", checked.error().message), checked.error().hint);
    }
    return;
  }
  if (sight.type == StaticType::list && param.type != ParamType::texts) {
    diagnostics_.error(node.at, cat(what, " takes one value, not a list"),
                       "name one combination instead of *");
    return;
  }
  const StaticType wanted = static_type(param.type);
  const bool text_for_bytes = param.type == ParamType::bytes && sight.type == StaticType::text;
  if (sight.type != StaticType::any && sight.type != StaticType::null &&
      wanted != StaticType::any && sight.type != wanted && !text_for_bytes) {
    diagnostics_.error(node.at,
                       cat(what, " must be a ", name_of(wanted), ", not a ", name_of(sight.type)));
  }
}

// look() is used with these two.
template Sight Checker::look(const Expression&, const YamlNode&, std::size_t, const Where&);
template Sight Checker::look(const TextTemplate&, const YamlNode&, std::size_t, const Where&);

}  // namespace apr::pipeline
