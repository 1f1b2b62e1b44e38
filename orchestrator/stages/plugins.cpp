// apr plugins list | info | verify
#include <algorithm>
#include <ostream>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

Json plugin_as_json(const PluginInfo& plugin) {
  Json provides = Json::array();
  for (const PluginInfo::Provided& provided : plugin.provides) {
    provides.push_back(Json::object(
        {{"kind", provided.kind}, {"id", provided.id}, {"summary", provided.summary}}));
  }
  return Json::object({{"name", plugin.name},
                       {"version", plugin.version},
                       {"license", plugin.license},
                       {"summary", plugin.summary},
                       {"api", plugin.api},
                       {"build", plugin.build_tag},
                       {"provides", std::move(provides)},
                       {"library", plugin.library},
                       {"sha256", plugin.sha256},
                       {"refusal", plugin.refusal.empty() ? Json() : Json(plugin.refusal)}});
}

/// "quantizer block, q8_0, q4_0": what a plugin adds.
std::string provides_line(const Json& plugin) {
  std::string line;
  for (const Json& provided : plugin["provides"].as_array()) {
    const std::string& kind = provided["kind"].as_string();
    if (!line.empty()) line += ", ";
    line += cat(kind, " ", printable(provided["id"].as_string()));
  }
  return line;
}

Result<const PluginInfo*> find_plugin(const PluginHost& host, const std::string& name) {
  std::vector<std::string> names;
  for (const PluginInfo& plugin : host.plugins()) {
    if (plugin.name == name) return &plugin;
    names.push_back(plugin.name);
  }
  const std::string near = nearest(name, names);
  return make_error(
      ErrorCode::not_found, cat("there is no plugin '", name, "'"), {},
      near.empty() ? "`apr plugins list` shows what was found" : cat("did you mean '", near, "'?"));
}

Param name_param(bool required) {
  Param param = text_param("name", "NAME", "the plugin's name");
  param.position = 0;
  param.required = required;
  return param;
}

class PluginsList final : public Verb {
 public:
  PluginsList() {
    info_.name = "plugins list";
    info_.summary = "show the plugins there are and what they provide";
    info_.details =
        "Only the manifests are read; no plugin's code runs. Plugins are searched in the folders "
        "given with --plugin-path, those of $APR_PLUGIN_PATH (separated by colons), the user's "
        "data "
        "folder and the installation, in this order; the first of a name wins.";
    info_.examples = {{"apr plugins list", "what this installation can do"},
                      {"apr plugins list --plugin-path ./build/plugins", "with one's own"}};
  }
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    Json list = Json::array();
    for (const PluginInfo& plugin : context.plugins.plugins())
      list.push_back(plugin_as_json(plugin));
    Json path = Json::array();
    for (const std::string& folder : context.plugins.search_path()) path.push_back(folder);
    return Outcome{
        .report = Json::object({{"plugins", std::move(list)}, {"search_path", std::move(path)}})};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    std::size_t refused = 0;
    for (const Json& plugin : report["plugins"].as_array()) {
      out << style.bold(printable(plugin["name"].as_string())) << " "
          << printable(plugin["version"].as_string()) << "\n";
      const std::size_t width = terminal_width(1);
      if (!plugin["refusal"].is_null()) {
        ++refused;
        out << "  " << style.red("refused: ")
            << wrapped(printable(plugin["refusal"].as_string()), width, 11) << "\n";
        continue;
      }
      out << "  " << wrapped(printable(plugin["summary"].as_string()), width, 2) << "\n"
          << "  " << style.dim(wrapped(provides_line(plugin), width, 2)) << "\n";
    }
    const std::size_t count = report["plugins"].size();
    out << plural(count, "plugin") << (refused > 0 ? cat(", ", refused, " refused") : "") << "\n";
    if (count > 0) return;
    for (const Json& folder : report["search_path"].as_array()) {
      out << "  searched in " << printable(folder.as_string()) << "\n";
    }
  }

 private:
  VerbInfo info_;
};

class PluginsInfo final : public Verb {
 public:
  PluginsInfo() {
    info_.name = "plugins info";
    info_.summary = "show one plugin's manifest";
    info_.params = {name_param(true)};
    info_.examples = {{"apr plugins info quantizer_block", "version, licence, schemes, library"}};
  }
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    APR_ASSIGN(const PluginInfo* plugin, find_plugin(context.plugins, context.params.text("name")));
    return Outcome{.report = plugin_as_json(*plugin)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    const auto text = [&](std::string_view key) { return printable(report[key].as_string()); };
    out << labelled(
        {{"Plugin", style.bold(text("name")) + " " + text("version")},
         {"Summary", text("summary")},
         {"Licence", text("license")},
         {"Built for", cat("plugin API ", report["api"].as_integer(), ", ", text("build"))},
         {"Library", text("library")},
         {"SHA-256", text("sha256")},
         {"Status", report["refusal"].is_null() ? style.green("can be loaded")
                                                : style.red("refused: ") + text("refusal")}},
        style);
    Table table(
        {{"kind", Table::Align::left}, {"id", Table::Align::left}, {"", Table::Align::left}});
    for (const Json& provided : report["provides"].as_array()) {
      table.row({printable(provided["kind"].as_string()), printable(provided["id"].as_string()),
                 printable(provided["summary"].as_string())});
    }
    out << "\n" << table.to_string(style);
  }

 private:
  VerbInfo info_;
};

class PluginsVerify final : public Verb {
 public:
  PluginsVerify() {
    info_.name = "plugins verify";
    info_.summary = "check that plugins are what their manifests say, and load";
    info_.details =
        "Recomputes the digest of each library, compares it with its manifest, loads the library "
        "and "
        "compares what it announces. This runs the plugins' code. Exits with 5 if one fails.";
    info_.params = {name_param(false)};
    info_.examples = {{"apr plugins verify", "all of them"},
                      {"apr plugins verify quantizer_block", "one of them"}};
  }
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    std::vector<const PluginInfo*> chosen;
    if (context.params.has("name")) {
      APR_ASSIGN(const PluginInfo* plugin,
                 find_plugin(context.plugins, context.params.text("name")));
      chosen.push_back(plugin);
    } else {
      for (const PluginInfo& plugin : context.plugins.plugins()) chosen.push_back(&plugin);
    }
    Json list = Json::array();
    bool all_good = true;
    for (const PluginInfo* plugin : chosen) {
      const Status status = context.plugins.verify(*plugin);
      all_good = all_good && status.ok();
      list.push_back(Json::object(
          {{"name", plugin->name},
           {"status", status ? "pass" : "fail"},
           {"detail", status ? Json(plugin->library) : Json(status.error().to_string())}}));
    }
    return Outcome{.report = Json::object({{"plugins", std::move(list)}, {"passed", all_good}}),
                   .exit_code = all_good ? 0 : exit_code(ErrorCode::validation)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    for (const Json& plugin : report["plugins"].as_array()) {
      const bool good = plugin["status"].as_string() == "pass";
      out << (good ? style.green("✓") : style.red("✗")) << " "
          << printable(plugin["name"].as_string()) << "  "
          << style.dim(printable(plugin["detail"].as_string())) << "\n";
    }
    if (report["plugins"].size() == 0) out << "There are no plugins.\n";
  }

 private:
  VerbInfo info_;
};

}  // namespace

std::unique_ptr<Verb> make_plugins_list() {
  return std::make_unique<PluginsList>();
}
std::unique_ptr<Verb> make_plugins_info() {
  return std::make_unique<PluginsInfo>();
}
std::unique_ptr<Verb> make_plugins_verify() {
  return std::make_unique<PluginsVerify>();
}

}  // namespace apr
