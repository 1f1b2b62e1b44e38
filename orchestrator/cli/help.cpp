#include "orchestrator/cli/help.h"

#include <algorithm>
#include <utility>

#include "core/base/cat.h"
#include "orchestrator/cli/help_text.h"
#include "orchestrator/cli/options.h"

namespace apr {

namespace {

constexpr std::size_t kMostNameColumns = 28;   ///< longer names push their text to the next line
constexpr std::size_t kLeastTextColumns = 28;  ///< with less room, texts stand below the names
constexpr const char* kArguments = "Arguments";
constexpr std::size_t kBelow = 8;  ///< and begin here

/// Names with an explanation each, in two columns, or below each other where it is narrow.
struct Line {
  std::string name;    ///< without colour
  std::string marked;  ///< with it
  std::string text;
  std::string limits;  ///< comes after the text, dimmed
};

/// Wraps "text limits" and dims the second part, which stays in one piece where a line holds it.
/// Colour comes last: it must not count as columns.
std::string wrapped_line(const Line& line, std::size_t width, std::size_t column, Style style) {
  constexpr char kSpaceToKeep = '\x01';
  std::string limits = line.limits;
  if (column + limits.size() <= width)
    std::replace(limits.begin(), limits.end(), ' ', kSpaceToKeep);
  const std::string between = line.text.empty() || limits.empty() ? "" : " ";
  std::string laid_out = wrapped(cat(line.text, between, limits), width, column);
  std::replace(laid_out.begin(), laid_out.end(), kSpaceToKeep, ' ');
  if (limits.empty()) return laid_out;
  const auto counts = [](char c) { return c != ' ' && c != '\n'; };
  std::ptrdiff_t left = std::count_if(line.limits.begin(), line.limits.end(), counts);
  std::size_t at = laid_out.size();
  while (left > 0) {
    if (counts(laid_out[--at])) --left;
  }
  return laid_out.substr(0, at) + style.dim(std::string_view(laid_out).substr(at));
}

std::string two_columns(const std::vector<Line>& lines, std::size_t column, std::size_t width,
                        Style style) {
  const bool narrow = width < column + kLeastTextColumns;
  if (narrow) column = kBelow;
  std::string out;
  for (const Line& line : lines) {
    const std::size_t taken = line.name.size() + 2;
    out += "  " + line.marked;
    if (narrow || taken + 2 > column) {
      out += "\n" + std::string(column, ' ');
    } else {
      out += std::string(column - taken, ' ');
    }
    out += wrapped_line(line, width, column, style) + "\n";
  }
  return out;
}

std::size_t column_for(const std::vector<Line>& lines) {
  std::size_t widest = 0;
  for (const Line& line : lines) widest = std::max(widest, line.name.size());
  return std::min(widest, kMostNameColumns) + 4;
}

/// "  -o, --output FILE"; options without a letter are indented as if they had one.
Line option_line(const Param& param, Style style) {
  Line line;
  line.text = param.help;
  line.limits = constraints(param, Limits::telling);
  const std::string indent = param.letter == 0 && param.position < 0 ? "    " : "";
  const std::string value = param.position >= 0 ? "" : value_name(param);
  std::string name = spelled(param);
  line.name = indent + name;
  if (!value.empty()) name.resize(name.size() - value.size() - 1);
  line.marked = cat(indent, style.cyan(name), value.empty() ? "" : " ", value);
  return line;
}

struct Section {
  std::string title;
  std::vector<Line> lines;
};

/// Arguments, then options under the headings that they ask for, then those of every verb.
std::vector<Section> sections_of(const VerbInfo& verb, std::string_view common, Style style) {
  std::vector<Section> list;
  const auto add = [&](const std::string& title, const Param& param) {
    const auto found = std::find_if(list.begin(), list.end(),
                                    [&](const Section& one) { return one.title == title; });
    Section& section = found != list.end() ? *found : list.emplace_back(Section{title, {}});
    section.lines.push_back(option_line(param, style));
  };
  for (const Param* param : positionals(verb)) add(kArguments, *param);
  for (const bool headed : {false, true}) {
    for (const Param& param : verb.params) {
      if (param.position >= 0 || param.section.empty() == headed) continue;
      add(headed ? param.section : "Options", param);
    }
  }
  for (const Param& param : global_params()) {
    const bool own = std::any_of(verb.params.begin(), verb.params.end(),
                                 [&](const Param& other) { return other.name == param.name; });
    if (!own) add(std::string(common), param);
  }
  return list;
}

std::string example_lines(const std::vector<Example>& examples, std::size_t width, Style style) {
  std::string out = "\n" + style.bold("Examples") + "\n";
  for (const Example& example : examples) {
    out += "  " + style.dim(wrapped("# " + example.meaning, width, 2)) + "\n";
    out += "  " + example.command + "\n";
  }
  return out;
}

/// All codes in a few lines; an entry is never broken.
std::string brief_exit_codes(std::size_t width, Style style) {
  std::string out = "\n" + style.bold("Exit codes") + "\n";
  std::string line;
  for (const ExitCode& code : exit_codes()) {
    const bool last = &code == &exit_codes().back();
    const std::string entry = cat(code.code, " ", code.brief, last ? "" : ",");
    if (!line.empty() && line.size() + 1 + entry.size() + 2 > width) {
      out += "  " + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + entry;
  }
  return out + "  " + line + "\n";
}

std::string page_of(std::string_view program, const VerbInfo& verb, std::string_view common,
                    std::size_t width, Style style) {
  const std::string name = cat(program, " ", verb.name);
  // Colour is added to what is laid out.
  const std::string title = wrapped(cat(name, ": ", verb.summary), width, 0);
  std::string out = style.bold(name) + title.substr(std::min(name.size(), title.size())) + "\n\n";
  out += style.bold("Usage") + ": " + wrapped(usage_line(program, verb), width, 7) + "\n";
  if (!verb.details.empty()) out += "\n" + wrapped(verb.details, width) + "\n";
  const std::vector<Section> sections = sections_of(verb, common, style);
  std::size_t column = 0;  // of all options; arguments have their own
  for (const Section& section : sections) {
    if (section.title != kArguments) column = std::max(column, column_for(section.lines));
  }
  for (const Section& section : sections) {
    const bool own = section.title == kArguments;
    out += "\n" + style.bold(wrapped(section.title, width)) + "\n";
    out += two_columns(section.lines, own ? column_for(section.lines) : column, width, style);
  }
  out += brief_exit_codes(width, style);
  if (!verb.examples.empty()) out += example_lines(verb.examples, width, style);
  return out;
}

/// Verbs of a family stand on one line of the overview.
struct Family {
  std::string_view first_words;
  std::string_view summary;
};
constexpr Family kFamilies[] = {
    {"canary", "notice any later change of a model"},
    {"plugins", "show and check what is installed"},
    {"probador playbook", "run scripted sessions as tests"},
};

const Family* family_of(const std::string& verb) {
  for (const Family& family : kFamilies) {
    if (verb.starts_with(cat(family.first_words, " "))) return &family;
  }
  return nullptr;
}

}  // namespace

std::vector<const Verb*> verbs_of_group(const std::string& word) {
  std::vector<const Verb*> list;
  for (const auto& verb : all_verbs()) {
    if (verb->info().name.starts_with(word + " ")) list.push_back(verb.get());
  }
  return list;
}

std::string overview_page(const Overview& overview, std::size_t width, Style style) {
  std::string out = style.bold(overview.program) +
                    wrapped(cat(overview.program, " ", APR_VERSION, ": ", overview.about), width, 2)
                        .substr(overview.program.size()) +
                    "\n\n" + style.bold("Usage") + ": " + overview.usage + "\n";
  std::vector<Section> sections;
  for (const Overview::Group& group : overview.groups) {
    Section& section = sections.emplace_back(Section{group.title, {}});
    for (const auto& [name, summary] : group.entries) {
      section.lines.push_back({name, style.cyan(name), summary, {}});
    }
  }
  Section& options = sections.emplace_back(Section{overview.options_title, {}});
  for (const Param& param : global_params()) options.lines.push_back(option_line(param, style));
  std::size_t column = 0;
  for (std::size_t i = 0; i + 1 < sections.size(); ++i) {
    column = std::max(column, column_for(sections[i].lines));
  }
  for (const Section& section : sections) {
    const bool last = &section == &sections.back();
    out += "\n" + style.bold(wrapped(section.title, width)) + "\n";
    out += two_columns(section.lines, last ? column_for(section.lines) : column, width, style);
  }
  out += example_lines(overview.examples, width, style);
  return out + "\n" + wrapped(overview.footer, width) + "\n";
}

std::string overview_page(std::size_t width, Style style) {
  Overview page;
  page.program = "apr";
  page.about = "takes a language model through its life";
  page.usage = "apr VERB [ARGUMENTS] [OPTIONS]";
  for (const VerbGroup& group : grouped_verbs()) {
    Overview::Group& shown = page.groups.emplace_back(Overview::Group{group.title, {}});
    for (const Verb* verb : group.verbs) {
      const VerbInfo& info = verb->info();
      const Family* family = family_of(info.name);
      if (family == nullptr) {
        shown.entries.push_back({info.name, info.summary});
        continue;
      }
      const std::string name(family->first_words);
      const std::string last = info.name.substr(name.size() + 1);
      if (shown.entries.empty() || shown.entries.back().name != name) {
        shown.entries.push_back({name, cat(family->summary, ": ", last)});
      } else {
        shown.entries.back().summary += ", " + last;
      }
    }
  }
  page.options_title = "Options of every verb";
  page.examples = {{"apr import golden/apr-tiny-chat -o tiny.apr", "a checkpoint becomes one file"},
                   {"apr convert tiny.apr --quantize int4 -o tiny-int4.apr", "smaller"},
                   {"apr chat tiny-int4.apr", "and used"}};
  page.footer =
      "`apr VERB --help` explains one verb and shows examples, `apr help exit-codes` what a "
      "script can rely on. apr-pipeline does all of it from one YAML file.";
  return overview_page(page, width, style);
}

std::string verb_page(const VerbInfo& verb, std::size_t width, Style style) {
  return page_of("apr", verb, "Options of every verb", width, style);
}

std::string command_page(std::string_view program, const VerbInfo& command, std::size_t width,
                         Style style) {
  return page_of(program, command, "Options of every command", width, style);
}

std::string exit_codes_page(std::size_t width) {
  std::string out;
  for (const ExitCode& code : exit_codes()) {
    const std::string number = std::to_string(code.code);
    out += std::string(5 - number.size(), ' ') + number + "  ";
    out += wrapped(code.meaning, width, 7) + "\n";
  }
  return out;
}

}  // namespace apr
