#include "orchestrator/cli/options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <cctype>

#include "core/base/cat.h"

namespace apr {

namespace po = boost::program_options;

namespace {

Param flag(std::string name, char letter, std::string help) {
  Param param;
  param.name = std::move(name);
  param.type = ParamType::boolean;
  param.letter = letter;
  param.help = std::move(help);
  param.cli_only = true;
  param.affects_result = false;
  return param;
}

std::vector<Param> make_global_params() {
  std::vector<Param> params;
  params.push_back(flag("json", 0, "print one JSON document to standard output"));
  params.push_back(flag("quiet", 'q', "no progress and no remarks"));
  params.push_back(flag("verbose", 'v', "afterwards, tell time, memory and plugin folders"));
  Param threads = flag("threads", 0, "threads to use; 0: all processors");
  threads.type = ParamType::integer;
  threads.minimum = 0;
  threads.maximum = 4096;
  threads.fallback = Json(0);
  params.push_back(threads);
  Param path = flag("plugin-path", 0, "look for plugins here first; may be repeated");
  path.type = ParamType::texts;
  path.value_name = "FOLDER";
  params.push_back(path);
  params.push_back(flag("help", 'h', "show this page"));
  params.push_back(flag("version", 0, "show the version"));
  return params;
}

/// Global options that the verb does not itself declare, then the verb's.
std::vector<const Param*> all_params(const VerbInfo& verb) {
  std::vector<const Param*> list;
  for (const Param& param : global_params()) {
    const bool own = std::any_of(verb.params.begin(), verb.params.end(),
                                 [&](const Param& other) { return other.name == param.name; });
    if (!own) list.push_back(&param);
  }
  for (const Param& param : verb.params) list.push_back(&param);
  return list;
}

bool is_flag(const Param& param) {
  return param.type == ParamType::boolean;
}

po::options_description describe(const std::vector<const Param*>& params) {
  po::options_description description;
  for (const Param* param : params) {
    std::string names = param->name;
    for (const std::string& alias : param->aliases) names += "," + alias;
    if (param->letter != 0) names += cat(",", param->letter);
    if (is_flag(*param)) {
      description.add_options()(names.c_str(), po::value<std::string>()->zero_tokens(), "");
    } else {
      description.add_options()(names.c_str(), po::value<std::string>(), "");
    }
  }
  return description;
}

const Param* by_key(const std::vector<const Param*>& params, const std::string& key) {
  for (const Param* param : params) {
    if (param->name == key) return param;
    if (param->letter != 0 && key == cat("-", param->letter)) return param;
    for (const std::string& alias : param->aliases) {
      if (alias == key) return param;
    }
  }
  return nullptr;
}

Error usage(std::string message, std::string hint) {
  return make_error(ErrorCode::usage, std::move(message), {}, std::move(hint));
}

std::string see_help(const VerbInfo& verb) {
  return cat("see `apr ", verb.name, " --help`");
}

/// More words than the verb takes. Most often that is a text without quotes.
std::string left_over_hint(const VerbInfo& verb, const std::vector<const Param*>& positionals) {
  const bool takes_text = !positionals.empty() && positionals.back()->type == ParamType::text &&
                          positionals.back()->role == ParamRole::plain;
  return takes_text && positionals.size() > 1 ? cat("a ", value_name(*positionals.back()),
                                                    " with spaces needs quotes; ", see_help(verb))
                                              : see_help(verb);
}

/// The word as the user wrote it, without an adjacent value: "--type=q8" -> "--type".
std::string option_word(const std::string& token) {
  return token.starts_with("--") ? token.substr(0, token.find('=')) : token.substr(0, 2);
}

Error unknown_option(const VerbInfo& verb, const std::vector<const Param*>& params,
                     const std::string& token) {
  const std::string word = option_word(token);
  std::vector<std::string> names;
  for (const Param* param : params) {
    names.push_back("--" + param->name);
    for (const std::string& alias : param->aliases) names.push_back("--" + alias);
  }
  std::string near;
  for (const std::string& name : names) {  // a shortened name: "--quant"
    if (word.size() > 4 && name.starts_with(word)) near = name;
  }
  if (near.empty() && word.starts_with("--")) near = nearest(word, names);
  // "-json": one dash too few.
  if (!token.starts_with("--") && std::ranges::find(names, "-" + token) != names.end()) {
    return usage(cat("apr ", verb.name, " has no option '", token, "'"),
                 cat("did you mean '-", token, "'?"));
  }
  return usage(cat("apr ", verb.name, " has no option '", word, "'"),
               near.empty() ? see_help(verb) : cat("did you mean '", near, "'?"));
}

Error missing_value(const std::string& word) {
  return usage(cat("option '", word, "' needs a value"),
               cat("a value that begins with a dash is written ", word, "=VALUE"));
}

/// Boost's complaint in our words.
Error translated(const VerbInfo& verb, const std::vector<const Param*>& params,
                 const po::error& error) {
  if (const auto* unknown = dynamic_cast<const po::unknown_option*>(&error)) {
    return unknown_option(verb, params, unknown->get_option_name());
  }
  if (const auto* syntax = dynamic_cast<const po::invalid_syntax*>(&error)) {
    const std::string word = option_word(syntax->tokens());
    if (syntax->kind() == po::invalid_syntax::missing_parameter) {
      return missing_value(word);
    }
    if (syntax->kind() == po::invalid_syntax::extra_parameter) {
      return usage(cat("option '", word, "' takes no value"), see_help(verb));
    }
    return usage(cat("'", syntax->tokens(), "' is not an option"), see_help(verb));
  }
  return usage(error.what(), see_help(verb));
}

/// An error about a parameter, in the words of the command line.
Error in_cli_words(Error error, const VerbInfo& verb, const std::vector<const Param*>& params) {
  const Param* param = by_key(params, error.context);
  if (param == nullptr) return error;
  const std::string name = param->position >= 0 ? value_name(*param) : "--" + param->name;
  if (error.message == "is required") {
    error.message = param->position >= 0
                        ? cat("apr ", verb.name, " needs ", name, ": ", param->help)
                        : cat("apr ", verb.name, " needs ", spelled(*param), ": ", param->help);
    error.hint = verb.examples.empty()
                     ? see_help(verb)
                     : cat(see_help(verb), "; for example: ", verb.examples.front().command);
  } else {
    error.message = cat(name, " ", error.message);
  }
  error.context.clear();
  return error;
}

/// Collects values by name; lists grow, anything else given twice is an error.
Status collect(Json& object, const Param& param, const std::string& text) {
  APR_ASSIGN(Json value, parse_param(param, text));
  if (Json* before = object.find(param.name)) {
    if (param.type != ParamType::texts) {
      return make_error(ErrorCode::usage, "is given twice", param.name);
    }
    before->push_back(Json(text));
    return {};
  }
  object.set(param.name, std::move(value));
  return {};
}

std::vector<const Param*> positionals_of(const VerbInfo& verb) {
  std::vector<const Param*> list;
  for (const Param& param : verb.params) {
    if (param.position >= 0) list.push_back(&param);
  }
  std::sort(list.begin(), list.end(),
            [](const Param* a, const Param* b) { return a->position < b->position; });
  return list;
}

/// "--filter --json": Boost takes the second word as a value; people who want that write
/// --filter=--json.
bool swallowed_option(const std::vector<const Param*>& params, const po::option& option) {
  if (option.string_key.empty() || option.original_tokens.size() < 2) return false;
  const std::string word = option_word(option.original_tokens[1]);
  if (word.starts_with("--")) return by_key(params, word.substr(2)) != nullptr;
  return word.size() == 2 && option.original_tokens[1].size() == 2 &&
         by_key(params, word) != nullptr;
}

GlobalOptions take_globals(const Json& object) {
  GlobalOptions global;
  const Values values(object);
  global.json = values.flag("json");
  global.quiet = values.flag("quiet");
  global.verbose = values.flag("verbose");
  global.help = values.flag("help");
  global.version = values.flag("version");
  global.threads = static_cast<unsigned>(values.integer("threads"));
  global.plugin_path = values.texts("plugin-path");
  return global;
}

Result<std::vector<po::option>> split(const VerbInfo& verb, const std::vector<const Param*>& params,
                                      std::span<const std::string> words) {
  namespace style = po::command_line_style;
  constexpr int kStyle = style::allow_long | style::long_allow_adjacent | style::long_allow_next |
                         style::allow_short | style::allow_dash_for_short |
                         style::short_allow_adjacent | style::short_allow_next |
                         style::allow_sticky;
  try {
    const po::options_description description = describe(params);
    po::command_line_parser parser(std::vector<std::string>(words.begin(), words.end()));
    return parser.options(description).style(kStyle).run().options;
  } catch (const po::error& error) {
    return translated(verb, params, error);
  }
}

}  // namespace

const std::vector<Param>& global_params() {
  static const std::vector<Param> params = make_global_params();
  return params;
}

std::size_t find_verb_word(std::span<const std::string> words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!words[i].starts_with('-') || words[i] == "--") return i;
    for (const Param& param : global_params()) {
      if (!is_flag(param) && words[i] == "--" + param.name) ++i;  // its value is the next word
    }
  }
  return words.size();
}

std::string value_name(const Param& param) {
  if (!param.value_name.empty()) return param.value_name;
  switch (param.type) {
    case ParamType::integer:
      return "N";
    case ParamType::number:
      return "X";
    case ParamType::bytes:
      return "SIZE";
    case ParamType::boolean:
      return "";
    case ParamType::text:
    case ParamType::choice:
    case ParamType::texts:
      break;
  }
  if (param.role != ParamRole::plain || param.position >= 0) {
    std::string upper = param.name;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return param.position >= 0 ? upper : "FILE";
  }
  return param.type == ParamType::choice ? "NAME" : "TEXT";
}

std::string spelled(const Param& param) {
  if (param.position >= 0) return value_name(param);
  std::string text = param.letter != 0 ? cat("-", param.letter, ", ") : "";
  text += "--" + param.name;
  const std::string value = value_name(param);
  return value.empty() ? text : text + " " + value;
}

Result<ParsedCommand> parse_command(const VerbInfo& verb, std::span<const std::string> words) {
  const std::vector<const Param*> params = all_params(verb);
  APR_ASSIGN(const std::vector<po::option> options, split(verb, params, words));

  const std::vector<const Param*> positionals = positionals_of(verb);
  std::size_t next_position = 0;
  Json own = Json::object();
  Json global = Json::object();
  for (const po::option& option : options) {
    if (swallowed_option(params, option)) {
      return missing_value(option_word(option.original_tokens[0]));
    }
    const Param* param = by_key(params, option.string_key);
    if (option.string_key.empty()) {
      const std::string word = option.value.empty() ? "" : option.value.front();
      if (next_position == positionals.size()) {
        return usage(cat("apr ", verb.name, " does not know what to do with '", word, "'"),
                     left_over_hint(verb, positionals));
      }
      param = positionals[next_position];
      if (param->type != ParamType::texts) ++next_position;
    }
    if (param == nullptr) return unknown_option(verb, params, option.string_key);
    const std::string text = is_flag(*param)        ? "true"
                             : option.value.empty() ? ""
                                                    : option.value.front();
    const bool is_global = by_key(all_params(VerbInfo{}), param->name) == param;
    if (Status status = collect(is_global ? global : own, *param, text); !status) {
      return in_cli_words(std::move(status).error(), verb, params);
    }
  }

  ParsedCommand command;
  command.global = take_globals(global);
  if (own.contains("threads")) {
    command.global.threads = static_cast<unsigned>(Values(own).integer("threads"));
  }
  if (command.global.help || command.global.version) return command;
  auto checked = check_params(verb.params, own);
  if (!checked) return in_cli_words(std::move(checked).error(), verb, params);
  command.params = *std::move(checked);
  return command;
}

}  // namespace apr
