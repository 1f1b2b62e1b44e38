#include <algorithm>
#include <charconv>
#include <functional>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/pipeline/pipeline.h"
#include "orchestrator/pipeline/yaml.h"
#include "orchestrator/playbook/pattern.h"
#include "orchestrator/playbook/playbook.h"
#include "orchestrator/schema/schema.h"

namespace apr::playbook {

namespace {

using pipeline::Diagnostics;
using pipeline::YamlMember;
using pipeline::YamlNode;

constexpr std::uint64_t kMaxFileBytes = 1u << 20;

/// Words of a command line: blanks part them, quotes keep them together, a backslash keeps the next
/// character. No shell looks at them.
std::optional<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'') {
      if (++i == text.size()) return std::nullopt;
      word += text[i];
      inside = true;
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      inside = true;
    } else if (c == ' ' || c == '\n' || c == '\t') {
      if (inside) words.push_back(std::exchange(word, {}));
      inside = false;
    } else {
      word += c;
      inside = true;
    }
  }
  if (quote != 0) return std::nullopt;
  if (inside) words.push_back(word);
  return words;
}

class Reader {
 public:
  Reader(Playbook& playbook, Diagnostics& found, std::span<const std::string> allowed)
      : playbook_(playbook), found_(found), allowed_(allowed) {}

  void read(const YamlNode& root) {
    if (root.kind != YamlNode::Kind::map) {
      found_.error(root.at, "a playbook is a map", "it begins with `name:` and `steps:`");
      return;
    }
    const Fields fields = {
        {"name", [&](const YamlNode& v) { playbook_.name = text(v, "name"); }},
        {"description", [&](const YamlNode& v) { playbook_.description = text(v, "description"); }},
        {"category", [&](const YamlNode& v) { playbook_.category = text(v, "category"); }},
        {"timeout", [&](const YamlNode& v) { playbook_.timeout_seconds = seconds(v); }},
        {"runner",
         [&](const YamlNode& v) {
           if (text(v, "runner") == "cli") return;
           found_.error(v.at, cat("runner '", v.text, "' is not known"), "there is: cli");
         }},
        {"files", [&](const YamlNode& v) { read_files(v); }},
        {"steps", [&](const YamlNode& v) { read_steps(v); }},
    };
    read_map(root, fields, "playbook");
    if (playbook_.name.empty()) found_.error(root.at, "the playbook has no name");
    if (playbook_.steps.empty() && found_.errors() == 0) {
      found_.error(root.at, "the playbook has no steps");
    }
  }

 private:
  using Field = std::pair<std::string_view, std::function<void(const YamlNode&)>>;
  using Fields = std::vector<Field>;

  void read_map(const YamlNode& map, const Fields& fields, std::string_view what) {
    for (const YamlMember& member : map.members) {
      const auto field = std::find_if(fields.begin(), fields.end(), [&](const Field& candidate) {
        return candidate.first == member.key;
      });
      if (field != fields.end()) {
        field->second(member.value);
        continue;
      }
      std::vector<std::string> names;
      for (const Field& candidate : fields) names.emplace_back(candidate.first);
      const std::string near = nearest(member.key, names);
      found_.error(member.at, cat("a ", what, " has no field '", member.key, "'"),
                   near.empty() ? std::string() : cat("did you mean '", near, "'?"));
    }
  }

  std::string text(const YamlNode& node, std::string_view field) {
    if (node.is_scalar() && node.kind != YamlNode::Kind::null) return node.text;
    found_.error(node.at, cat("field ", field, " is ", node.kind_name(), ", not a text"));
    return {};
  }

  std::vector<std::string> texts(const YamlNode& node, std::string_view field) {
    if (node.kind != YamlNode::Kind::list) return {text(node, field)};
    std::vector<std::string> all;
    for (const YamlNode& item : node.items) all.push_back(text(item, field));
    return all;
  }

  double seconds(const YamlNode& node) {
    const auto value = node.is_text() ? pipeline::parse_duration(node.text) : std::nullopt;
    if (!value || *value == 0) found_.error(node.at, "a duration is written 30s, 500ms, 2m or 1h");
    return static_cast<double>(value.value_or(1)) / 1000;
  }

  void read_files(const YamlNode& node) {
    if (node.kind != YamlNode::Kind::map) {
      found_.error(node.at, "field files is a map of names to contents");
      return;
    }
    for (const YamlMember& member : node.members) {
      if (!stays_inside(member.key)) {
        found_.error(member.at, cat("'", member.key, "' is not the plain name of a file"),
                     "a name, or a path that stays inside of the session's folder");
        continue;
      }
      playbook_.files[member.key] = text(member.value, "files");
    }
  }

  /// "a.txt", "sub/a.txt": no part is empty or begins with a dot.
  static bool stays_inside(std::string_view path) {
    for (std::size_t begin = 0; begin <= path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      if (begin == end || path[begin] == '.') return false;
      begin = end + 1;
    }
    return true;
  }

  void read_steps(const YamlNode& node) {
    if (node.kind != YamlNode::Kind::list) {
      found_.error(node.at, "field steps is a list");
      return;
    }
    for (const YamlNode& item : node.items) {
      if (item.kind != YamlNode::Kind::map) {
        found_.error(item.at, "a step is a map", "`- command: apr inspect model.apr`");
        continue;
      }
      read_step(item);
    }
  }

  void read_step(const YamlNode& node) {
    const std::size_t before = found_.errors();
    Step step;
    step.at = node.at;
    Expectations& expect = step.expect;
    std::string action;
    bool expects = false;
    bool commands = false;  // whether there is a command, sound or not
    const auto add = [&](std::vector<std::string>& to, std::string_view field) {
      return [&, field](const YamlNode& v) {
        expects = true;
        for (std::string& item : texts(v, field)) {
          if (item.empty()) found_.error(v.at, cat(field, " is empty, so it could never fail"));
          to.push_back(std::move(item));
        }
      };
    };
    const Fields fields = {
        {"name", [&](const YamlNode& v) { step.name = text(v, "name"); }},
        {"action", [&](const YamlNode& v) { action = text(v, "action"); }},
        {"command",
         [&](const YamlNode& v) {
           commands = true;
           read_command(v, step);
         }},
        {"stdin", [&](const YamlNode& v) { step.stdin_text = text(v, "stdin"); }},
        {"environment", [&](const YamlNode& v) { read_environment(v, step); }},
        {"env", [&](const YamlNode& v) { read_environment(v, step); }},
        {"folder",
         [&](const YamlNode& v) {
           step.folder = text(v, "folder");
           if (!stays_inside(step.folder)) {
             found_.error(v.at, cat("folder '", step.folder, "' leaves the session's folder"));
           }
         }},
        {"timeout", [&](const YamlNode& v) { step.timeout_seconds = seconds(v); }},
        {"expect_exit", [&](const YamlNode& v) { expect.exit_code = exit_code(v); }},
        {"expect_output", add(expect.output, "expect_output")},
        {"output_contains", add(expect.output, "output_contains")},
        {"expect_stderr", add(expect.error_output, "expect_stderr")},
        {"output_lacks", add(expect.absent, "output_lacks")},
        {"output_matches",
         [&](const YamlNode& v) {
           add(expect.output_matches, "output_matches")(v);
           check_patterns(v);
         }},
        {"output_not_empty",
         [&](const YamlNode& v) {
           expects = true;
           expect.output_not_empty = v.kind == YamlNode::Kind::boolean && v.text == "true";
           if (!expect.output_not_empty) found_.error(v.at, "output_not_empty can only be true");
         }},
        {"max_seconds",
         [&](const YamlNode& v) {
           expects = true;
           const bool number =
               v.kind == YamlNode::Kind::integer || v.kind == YamlNode::Kind::number;
           expect.max_seconds = number ? v.to_json().as_number() : seconds(v);
           if (!(*expect.max_seconds > 0)) found_.error(v.at, "max_seconds must be more than 0");
         }},
    };
    read_map(node, fields, "step");
    if (!action.empty() && action != "run" && action != "assert") {
      found_.error(node.at, cat("action '", action, "' is not known"), "there are: run, assert");
    }
    // One complaint about a step is enough: what a mistake has left empty is not missing.
    if (found_.errors() != before) {
      playbook_.steps.push_back(std::move(step));
      return;
    }
    if (action == "assert" && commands) {
      found_.error(node.at, "a step that asserts has no command", "use `action: run`");
    } else if (action == "run" && !commands) {
      found_.error(node.at, "the step has no command");
    } else if (!commands && playbook_.steps.empty()) {
      found_.error(node.at, "the first step has no command whose output could be looked at");
    } else if (!commands && !expects) {
      found_.error(node.at, "the step checks nothing");
    }
    if (step.name.empty()) step.name = cat("step ", playbook_.steps.size() + 1);
    playbook_.steps.push_back(std::move(step));
  }

  void read_command(const YamlNode& node, Step& step) {
    const auto words = split_words(text(node, "command"));
    if (!words) {
      found_.error(node.at, "a quote or backslash of the command has no end");
    } else if (words->empty()) {
      found_.error(node.at, "the command is empty");
    } else if (words->front() != "apr" && words->front() != "apr-pipeline" &&
               std::ranges::find(allowed_, words->front()) == allowed_.end()) {
      found_.error(
          node.at, cat("the command begins with '", words->front(), "'"),
          cat("playbooks run apr and apr-pipeline, nothing else unless it is named: --allow ",
              words->front()));
    } else {
      step.command = *words;
    }
  }

  void read_environment(const YamlNode& node, Step& step) {
    if (node.kind != YamlNode::Kind::map) {
      found_.error(node.at, "field environment is a map");
      return;
    }
    for (const YamlMember& member : node.members) {
      step.environment[member.key] = text(member.value, "environment");
    }
  }

  int exit_code(const YamlNode& node) {
    int code = 0;
    const auto [end, error] =
        std::from_chars(node.text.data(), node.text.data() + node.text.size(), code);
    const bool whole = error == std::errc() && end == node.text.data() + node.text.size();
    if (!node.is_scalar() || !whole || code < 0 || code > 255) {
      found_.error(node.at, "an exit code is a number from 0 to 255");
    }
    return code;
  }

  void check_patterns(const YamlNode& node) {
    const std::span<const YamlNode> items = node.kind == YamlNode::Kind::list
                                                ? std::span<const YamlNode>(node.items)
                                                : std::span<const YamlNode>(&node, 1);
    for (const YamlNode& item : items) {
      const std::string mistake = pattern_mistake(item.text);
      if (mistake.empty()) continue;
      found_.error(item.at,
                   cat("output_matches '", item.text, "' is no regular expression: ", mistake));
    }
  }

  Playbook& playbook_;
  Diagnostics& found_;
  std::span<const std::string> allowed_;
};

}  // namespace

Result<Playbook> read_playbook(const std::string& file, pipeline::Diagnostics& found,
                               std::span<const std::string> allowed) {
  APR_ASSIGN(const std::string text, read_file(file, kMaxFileBytes));
  return read_playbook_text(text, file, found, allowed);
}

Result<Playbook> read_playbook_text(std::string_view text, const std::string& file,
                                    pipeline::Diagnostics& found,
                                    std::span<const std::string> allowed) {
  auto parsed = pipeline::parse_yaml(text, file);
  if (!parsed) {
    Error error = std::move(parsed).error();
    if (error.hint.starts_with("a pipeline begins")) {
      error.hint = "a playbook begins with `name:` and `steps:`";
    }
    return error;
  }
  const YamlNode& root = *parsed;
  Playbook playbook;
  playbook.file = file;
  Reader(playbook, found, allowed).read(root);
  return playbook;
}

}  // namespace apr::playbook
