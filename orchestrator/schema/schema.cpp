#include "orchestrator/schema/schema.h"

#include <array>
#include <charconv>
#include <cmath>

#include "core/base/cat.h"
#include "core/base/suggest.h"

namespace apr {

namespace {

Error bad(const Param& param, std::string message, std::string hint = {}) {
  return make_error(ErrorCode::usage, std::move(message), param.name, std::move(hint));
}

std::string quoted(std::string_view text) {
  return cat("'", text, "'");
}

std::string_view wanted(ParamType type) {
  switch (type) {
    case ParamType::text:
    case ParamType::choice:
      return "text";
    case ParamType::integer:
      return "a whole number";
    case ParamType::number:
      return "a number";
    case ParamType::boolean:
      return "true or false";
    case ParamType::bytes:
      return "a size such as 350MiB";
    case ParamType::texts:
      return "a list of texts";
  }
  return "";
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || text.empty()) return {};
  return value;
}

std::optional<double> finite_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || text.empty()) return {};
  if (!std::isfinite(value)) return {};  // a NaN limit would switch its check off
  return value;
}

/// "350MiB", "1.5 GB", "4096": decimal and binary units; a bare "M" could be either and is refused.
Result<std::int64_t> size_in_bytes(const Param& param, std::string_view text) {
  struct Unit {
    std::string_view name;
    std::int64_t bytes;
  };
  static constexpr std::array<Unit, 9> kUnits{{{"B", 1},
                                               {"kB", 1'000},
                                               {"KB", 1'000},
                                               {"MB", 1'000'000},
                                               {"GB", 1'000'000'000},
                                               {"KiB", std::int64_t{1} << 10},
                                               {"MiB", std::int64_t{1} << 20},
                                               {"GiB", std::int64_t{1} << 30},
                                               {"TiB", std::int64_t{1} << 40}}};
  const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto number = finite_number(text.substr(0, digits));
  std::string_view unit = text.substr(digits);
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto refused = [&] {
    return bad(param, cat(quoted(text), " is not a size"),
               "write a number and a unit: 4096, 64KiB, 350MiB, 1.5GB");
  };
  if (!number) return refused();
  std::int64_t scale = unit.empty() ? 1 : 0;
  for (const Unit& known : kUnits) {
    if (known.name == unit) scale = known.bytes;
  }
  if (scale == 0) return refused();
  const double bytes = std::round(*number * static_cast<double>(scale));
  if (bytes > 9.0e15) return bad(param, cat(quoted(text), " is too large"));
  return static_cast<std::int64_t>(bytes);
}

std::string limit_text(const Param& param, double limit) {
  return param.type == ParamType::number ? cat(limit) : cat(static_cast<std::int64_t>(limit));
}

Status check_range(const Param& param, const Json& value) {
  const double number = value.as_number();
  const bool below = param.minimum && number < *param.minimum;
  const bool above = param.maximum && number > *param.maximum;
  if (!below && !above) return {};
  std::string limits;
  if (param.minimum && param.maximum) {
    limits = cat("between ", limit_text(param, *param.minimum), " and ",
                 limit_text(param, *param.maximum));
  } else if (below) {
    limits = cat("at least ", limit_text(param, *param.minimum));
  } else {
    limits = cat("at most ", limit_text(param, *param.maximum));
  }
  return bad(param, cat("must be ", limits, ", not ", value.dump()));
}

Status check_choice(const Param& param, const std::string& text) {
  for (const std::string& choice : param.choices) {
    if (choice == text) return {};
  }
  const std::string near = nearest(text, param.choices);
  return bad(param, cat(quoted(text), " is not one of the choices: ", join_names(param.choices)),
             near.empty() ? "" : cat("did you mean ", quoted(near), "?"));
}

bool is(const Param& param, std::string_view name) {
  if (param.name == name) return true;
  for (const std::string& alias : param.aliases) {
    if (alias == name) return true;
  }
  return false;
}

const Param* find_param(const std::vector<Param>& params, std::string_view name) {
  for (const Param& param : params) {
    if (is(param, name)) return &param;
  }
  return nullptr;
}

Error unknown_param(const std::vector<Param>& params, const std::string& name) {
  std::vector<std::string> names;
  for (const Param& param : params) names.push_back(param.name);
  const std::string near = nearest(name, names);
  return make_error(ErrorCode::usage, "there is no parameter of this name", name,
                    near.empty() ? cat("the parameters are: ", join_names(names))
                                 : cat("did you mean ", quoted(near), "?"));
}

}  // namespace

std::vector<std::string> Values::texts(std::string_view name) const {
  std::vector<std::string> list;
  for (const Json& item : object_[name].as_array()) list.push_back(item.as_string());
  return list;
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  return nearest_name(word, candidates);
}

Result<Json> parse_param(const Param& param, std::string_view text) {
  switch (param.type) {
    case ParamType::text:
    case ParamType::choice:
      return check_param(param, Json(text));
    case ParamType::texts:
      return check_param(param, Json(JsonArray{Json(text)}));
    case ParamType::boolean:
      if (text == "true") return Json(true);
      if (text == "false") return Json(false);
      break;
    case ParamType::integer:
      if (const auto value = whole_number(text)) return check_param(param, Json(*value));
      if (const std::size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
          text.size() > sign && text.find_first_not_of("0123456789", sign) == text.npos) {
        return bad(param, cat(quoted(text), " has too many digits"));
      }
      break;
    case ParamType::number:
      if (const auto value = whole_number(text)) return check_param(param, Json(*value));
      if (const auto value = finite_number(text)) return check_param(param, Json(*value));
      break;
    case ParamType::bytes: {
      APR_ASSIGN(const std::int64_t bytes, size_in_bytes(param, text));
      return check_param(param, Json(bytes));
    }
  }
  return bad(param, cat(quoted(text), " is not ", wanted(param.type)));
}

Result<Json> check_param(const Param& param, const Json& value) {
  const auto wrong_kind = [&] {
    const bool quotable = (param.type == ParamType::text || param.type == ParamType::choice) &&
                          (value.is_number() || value.is_boolean());
    return bad(param,
               cat("must be ", wanted(param.type), ", not ",
                   value.is_null() ? "empty" : cat("the ", value.kind_name(), " ", value.dump())),
               quotable ? cat("put it in quotes: \"", value.dump(), "\"") : "");
  };
  switch (param.type) {
    case ParamType::text:
      if (!value.is_string()) return wrong_kind();
      return value;
    case ParamType::choice:
      if (!value.is_string()) return wrong_kind();
      APR_TRY(check_choice(param, value.as_string()));
      return value;
    case ParamType::boolean:
      if (!value.is_boolean()) return wrong_kind();
      return value;
    case ParamType::integer: {
      Json whole = value;
      const double number = value.as_number();
      if (!value.is_integer() && value.is_number() && std::trunc(number) == number &&
          std::fabs(number) < 9.0e15) {
        whole = Json(static_cast<std::int64_t>(number));
      }
      if (!whole.is_integer()) return wrong_kind();
      APR_TRY(check_range(param, whole));
      return whole;
    }
    case ParamType::number:
      if (!value.is_number() || !std::isfinite(value.as_number())) return wrong_kind();
      APR_TRY(check_range(param, value));
      return value;
    case ParamType::bytes: {
      if (value.is_string()) return parse_param(param, value.as_string());
      if (!value.is_integer()) return wrong_kind();
      if (value.as_integer() < 0) return bad(param, "a size cannot be negative");
      APR_TRY(check_range(param, value));
      return value;
    }
    case ParamType::texts: {
      if (value.is_string()) return Json(JsonArray{value});
      if (!value.is_array()) return wrong_kind();
      for (const Json& item : value.as_array()) {
        if (!item.is_string()) return wrong_kind();
      }
      return value;
    }
  }
  return wrong_kind();
}

Result<Values> check_params(const std::vector<Param>& params, const Json& object) {
  Json checked = Json::object();
  for (const auto& [name, value] : object.as_object()) {
    const Param* param = find_param(params, name);
    if (param == nullptr) return unknown_param(params, name);
    if (checked.contains(param->name)) return bad(*param, "is given twice");
    APR_ASSIGN(Json good, check_param(*param, value));
    checked.set(param->name, std::move(good));
  }
  Json complete = Json::object();  // in the schema's order, so that equal parameters look equal
  for (const Param& param : params) {
    if (const Json* value = checked.find(param.name)) {
      complete.set(param.name, *value);
    } else if (param.required) {
      return bad(param, "is required");
    } else if (!param.fallback.is_null()) {
      complete.set(param.name, param.fallback);
    }
  }
  return Values(std::move(complete));
}

}  // namespace apr
