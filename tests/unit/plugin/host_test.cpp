#include "core/plugin/host.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "core/base/json.h"
#include "core/plugin/plugin.h"

namespace fs = std::filesystem;
using namespace apr;
using Catch::Matchers::Contains;

namespace {

const fs::path kFixtures = APR_PLUGIN_FIXTURES;

std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// A new empty folder, and an environment in which nothing else is on the search path.
struct Sandbox {
  fs::path root;
  fs::path plugins;
  fs::path before = fs::current_path();

  Sandbox() {
    std::string name = (fs::temp_directory_path() / "apr-host-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    root = fs::canonical(name);
    plugins = root / "plugins";
    fs::create_directory(plugins);
    ::setenv("HOME", (root / "home").c_str(), 1);
    ::unsetenv("XDG_DATA_HOME");
    ::unsetenv("APR_PLUGIN_PATH");
  }
  ~Sandbox() {
    fs::current_path(before);
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }

  /// A copy of a fixture with the manifest that the tool writes for it.
  void put(const std::string& fixture, const fs::path& folder) const {
    fs::create_directories(folder);
    const fs::path library = folder / ("lib" + fixture + ".so");
    fs::remove(library);  // a loaded library must not be written into
    fs::copy_file(kFixtures / library.filename(), library);
    const auto manifest = manifest_of_library(library.string(), fixture);
    if (!manifest) FAIL(manifest.error().to_string());
    write(folder / ("lib" + fixture + ".json"), *manifest);
  }
  void put(const std::string& fixture) const { put(fixture, plugins); }

  std::unique_ptr<PluginHost> host() const {
    auto made = PluginHost::create({plugins.string()});
    if (!made) FAIL(made.error().to_string());
    return *std::move(made);
  }

  /// The sound plugin with its manifest changed by `edit`.
  template <typename Edit>
  PluginInfo edited(Edit edit) const {
    put("fixture_sound");
    const fs::path path = plugins / "libfixture_sound.json";
    Json json = *parse_json(read(path));
    edit(json);
    write(path, json.dump());
    return only();
  }
  PluginInfo only() const {
    const auto made = host();
    REQUIRE(made->plugins().size() == 1);
    return made->plugins()[0];
  }
};

const PluginInfo* find(const PluginHost& host, const std::string& name) {
  for (const PluginInfo& plugin : host.plugins()) {
    if (plugin.name == name) return &plugin;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("a plugin is listed from its manifest and loaded when it is needed") {
  const Sandbox box;
  box.put("fixture_sound");
  const auto host = box.host();
  const PluginInfo* plugin = find(*host, "fixture_sound");
  REQUIRE(plugin != nullptr);
  CHECK(plugin->refusal == "");
  CHECK(plugin->version == "1.2.3");
  CHECK(plugin->license == "Apache-2.0");
  CHECK(plugin->summary == "A sound plugin.");
  CHECK(plugin->api == kPluginApi);
  CHECK(plugin->build_tag == kBuildTag);
  REQUIRE(plugin->provides.size() == 2);
  CHECK(plugin->provides[1].kind == "scheme");
  CHECK(plugin->provides[1].id == "half_sound");

  CHECK(host->registry().plugin_of("quantizer", "halves") == "");  // nothing is loaded yet
  const auto choice = host->registry().quantization("half_sound");
  REQUIRE(choice);
  CHECK(choice->quantizer->id() == "halves");
  CHECK(host->registry().plugin_of("quantizer", "halves") == "fixture_sound 1.2.3");
  CHECK(host->load("fixture_sound"));  // twice is fine
  CHECK(host->verify(*plugin));

  const auto digest = host->digest_of("quantizer", "halves");
  REQUIRE(digest);
  CHECK(digest->hex() == plugin->sha256);
  CHECK(digest->hex() == sha256(read(plugin->library)).hex());
  CHECK(host->digest_of("scheme", "half_sound"));
  CHECK(host->digest_of("quantizer", "half_sound"));  // a quantizer may be named by a scheme
  CHECK_FALSE(host->digest_of("quantizer", "unheard"));
}

TEST_CASE("unknown names are errors that help") {
  const Sandbox box;
  box.put("fixture_sound");
  const auto host = box.host();
  const auto status = host->load("fixture_sond");
  REQUIRE_FALSE(status);
  CHECK(status.error().code == ErrorCode::not_found);
  CHECK_THAT(status.error().hint, Contains("fixture_sound"));
  const auto scheme = host->registry().quantization("half_sond");
  REQUIRE_FALSE(scheme);
  CHECK_THAT(scheme.error().to_string(), Contains("half_sound"));
}

TEST_CASE("a plugin for another API number is refused without being loaded") {
  const Sandbox box;
  box.put("fixture_other_api");
  const auto host = box.host();
  const PluginInfo* plugin = find(*host, "fixture_other_api");
  REQUIRE(plugin != nullptr);
  CHECK_THAT(plugin->refusal, Contains("interface 7") && Contains("rebuild"));
  // Asking for what it would provide tells why it cannot be had.
  const auto scheme = host->registry().quantization("half_foreign");
  REQUIRE_FALSE(scheme);
  CHECK(scheme.error().code == ErrorCode::load);
  CHECK_THAT(scheme.error().to_string(), Contains("fixture_other_api") && Contains("interface 7"));
  CHECK_FALSE(host->verify(*plugin));
}

TEST_CASE("a manifest that lies about the API number does not get the library in") {
  const Sandbox box;
  box.put("fixture_other_api");
  const fs::path path = box.plugins / "libfixture_other_api.json";
  Json json = *parse_json(read(path));
  json.set("api", kPluginApi);
  write(path, json.dump());
  const auto host = box.host();
  CHECK(find(*host, "fixture_other_api")->refusal == "");
  const auto status = host->load("fixture_other_api");
  REQUIRE_FALSE(status);
  CHECK_THAT(status.error().to_string(), Contains("interface 7") && Contains("rebuild"));
}

TEST_CASE("manifests that do not fit are refusals, each with its reason") {
  const Sandbox box;
  const auto refusal = [&](auto edit) { return box.edited(edit).refusal; };
  CHECK(refusal([](Json&) {}) == "");  // the others fail for what was changed only
  CHECK_THAT(refusal([](Json& j) { j.set("build_tag", "gcc-4+libstdc++"); }),
             Contains("built with gcc-4+libstdc++") && Contains("rebuild"));
  CHECK_THAT(refusal([](Json& j) { j.set("library", "../evil.so"); }), Contains("plain file name"));
  CHECK_THAT(refusal([](Json& j) { j.set("library", "/lib/libc.so.6"); }),
             Contains("plain file name"));
  CHECK_THAT(refusal([](Json& j) { j.set("library", ".."); }), Contains("plain file name"));
  CHECK_THAT(refusal([](Json& j) { j.set("library", "libnone.so"); }), Contains("does not exist"));
  CHECK_THAT(refusal([](Json& j) { j.set("library", 3); }), Contains("'library'"));
  CHECK_THAT(refusal([](Json& j) { j.erase("sha256"); }), Contains("'sha256'"));
  CHECK_THAT(refusal([](Json& j) { j.set("sha256", "abc"); }), Contains("64 hexadecimal digits"));
  CHECK_THAT(refusal([](Json& j) { j.set("api", -1); }), Contains("'api'"));
  CHECK_THAT(refusal([](Json& j) { j.set("api", "1"); }), Contains("'api'"));
  CHECK_THAT(refusal([](Json& j) { j.set("name", ""); }), Contains("'name'"));
  CHECK_THAT(refusal([](Json& j) { j.set("summary", "\x1b[31mred"); }), Contains("control"));
  CHECK_THAT(refusal([](Json& j) { j.set("summary", std::string(5000, 'x')); }),
             Contains("longer"));
  CHECK_THAT(refusal([](Json& j) { j.set("provides", "all"); }), Contains("'provides'"));
  CHECK_THAT(refusal([](Json& j) { j.set("provides", Json::array()); }), Contains("nothing"));
  CHECK_THAT(refusal([](Json& j) { j.set("apr_plugin_manifest", 2); }), Contains("format 2"));
  CHECK_THAT(refusal([](Json& j) { j = Json::array(); }), Contains("not a plugin manifest"));
}

TEST_CASE("garbage in a plugin folder is listed, never fatal") {
  const Sandbox box;
  box.put("fixture_sound");
  write(box.plugins / "libgarbage.json", "{\"apr_plugin_manifest\": ");
  write(box.plugins / "libempty.json", "");
  write(box.plugins / "libdeep.json", std::string(100000, '['));
  write(box.plugins / "liblarge.json", std::string(1 << 20, ' '));
  write(box.plugins / "libbinary.json", std::string("\0\xff\xfe", 3));
  write(box.plugins / "libalone.so", "no library");
  write(box.plugins / "notes.txt", "nobody looks at this");
  fs::create_directory(box.plugins / "libfolder.json");
  fs::create_symlink("/nowhere/at/all", box.plugins / "libdangling.json");
  REQUIRE(::mkfifo((box.plugins / "libpipe.json").c_str(), 0600) == 0);

  const auto host = box.host();
  CHECK(host->plugins().size() == 10);
  for (const PluginInfo& plugin : host->plugins()) {
    CAPTURE(plugin.name);
    CHECK(plugin.refusal.empty() == (plugin.name == "fixture_sound"));
  }
  CHECK_THAT(find(*host, "alone")->refusal, Contains("apr-plugin-manifest alone"));
  CHECK(host->registry().quantization("half_sound"));
}

TEST_CASE("any damage to a manifest leaves the host standing") {
  const Sandbox box;
  box.put("fixture_sound");
  const fs::path path = box.plugins / "libfixture_sound.json";
  const std::string sound = read(path);
  std::mt19937 random(20240501);
  for (int round = 0; round < 400; ++round) {
    std::string text = sound;
    switch (random() % 3) {
      case 0:
        text.resize(random() % text.size());
        break;
      case 1:
        text[random() % text.size()] = static_cast<char>(random());
        break;
      default:
        text.insert(random() % text.size(), text.substr(random() % text.size()));
        break;
    }
    write(path, text);
    const auto host = box.host();
    REQUIRE(host->plugins().size() == 1);
    static_cast<void>(host->load(host->plugins()[0].name).ok());
  }
}

TEST_CASE("a library that changed since its manifest was written is not loaded") {
  const Sandbox box;
  box.put("fixture_sound");
  std::ofstream(box.plugins / "libfixture_sound.so", std::ios::app | std::ios::binary) << "x";
  const auto host = box.host();
  const auto status = host->load("fixture_sound");
  REQUIRE_FALSE(status);
  CHECK(status.error().code == ErrorCode::validation);
  CHECK_THAT(status.error().to_string(), Contains("SHA-256") && Contains("apr-plugin-manifest"));
  CHECK_FALSE(host->digest_of("quantizer", "halves"));
  CHECK_FALSE(host->verify(host->plugins()[0]));
}

TEST_CASE("verify looks at the library again each time") {
  const Sandbox box;
  box.put("fixture_sound");
  const auto host = box.host();
  REQUIRE(host->verify(host->plugins()[0]));
  fs::remove(box.plugins / "libfixture_sound.so");
  write(box.plugins / "libfixture_sound.so", "something else");
  const auto status = host->verify(host->plugins()[0]);
  REQUIRE_FALSE(status);
  CHECK(status.error().code == ErrorCode::validation);
}

TEST_CASE("a manifest that does not describe its library is found out at loading") {
  const Sandbox box;
  const auto error = [&](auto edit) {
    static_cast<void>(box.edited(edit));
    const auto host = box.host();
    const auto status = host->load(host->plugins()[0].name);
    REQUIRE_FALSE(status);
    return status.error().to_string();
  };
  CHECK_THAT(error([](Json& j) { j.set("name", "fixture_fails"); }),
             Contains("apr_plugin_fixture_fails_v1"));
  CHECK_THAT(error([](Json& j) { j.set("version", "9"); }), Contains("1.2.3"));
  CHECK_THAT(error([](Json& j) {
               Json more = j["provides"];
               more.push_back(Json::object({{"kind", "backend"}, {"id", "x"}, {"summary", ""}}));
               j.set("provides", more);
             }),
             Contains("provides other things"));
}

TEST_CASE("a library that is no plugin, or no library, says so") {
  const Sandbox box;
  const auto none = manifest_of_library((kFixtures / "libfixture_no_symbol.so").string(), "x");
  REQUIRE_FALSE(none);
  CHECK_THAT(none.error().to_string(), Contains("apr_plugin_x_v1"));
  write(box.plugins / "libtext.so", "this is not ELF");
  const auto text = manifest_of_library((box.plugins / "libtext.so").string(), "text");
  REQUIRE_FALSE(text);
  CHECK(text.error().code == ErrorCode::load);
  const auto missing = manifest_of_library((box.plugins / "libmissing.so").string(), "missing");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::not_found);
}

TEST_CASE("a plugin that cannot register tells why, and others still work") {
  const Sandbox box;
  box.put("fixture_fails");
  box.put("fixture_sound");
  const auto host = box.host();
  const auto backend = host->registry().backend("never");
  REQUIRE_FALSE(backend);
  CHECK_THAT(backend.error().to_string(),
             Contains("fixture_fails") && Contains("no such accelerator"));
  CHECK_FALSE(host->load("fixture_fails"));  // and stays failed
  CHECK(host->registry().quantizers().size() == 1);
}

TEST_CASE(
    "search order: given folders, APR_PLUGIN_PATH, the user's folder; the first of a name wins") {
  const Sandbox box;
  const fs::path from_variable = box.root / "variable";
  const fs::path from_user = box.root / "home/.local/share/apr/plugins";
  box.put("fixture_sound", box.plugins);
  box.put("fixture_sound", from_variable);
  box.put("fixture_sound", from_user);
  box.put("fixture_fails", from_user);
  ::setenv("APR_PLUGIN_PATH", (":/does/not/exist:" + from_variable.string() + ":").c_str(), 1);

  const auto host = box.host();
  const auto& path = host->search_path();
  REQUIRE(path.size() == 5);
  CHECK(path[0] == box.plugins.string());
  CHECK(path[1] == "/does/not/exist");
  CHECK(path[2] == from_variable.string());
  CHECK(path[3] == from_user.string());
  CHECK(path[4] == fs::path(fs::read_symlink("/proc/self/exe")).parent_path().parent_path() /
                       "lib/apr/plugins");
  REQUIRE(host->plugins().size() >= 4);
  CHECK(host->plugins()[0].library == (box.plugins / "libfixture_sound.so").string());
  CHECK(host->plugins()[0].refusal == "");
  CHECK_THAT(host->plugins()[1].refusal,
             Contains("comes first") && Contains(host->plugins()[0].manifest));
  CHECK_THAT(find(*host, "fixture_fails")->library, Contains("home"));

  ::setenv("XDG_DATA_HOME", (box.root / "data").c_str(), 1);
  CHECK(box.host()->search_path()[3] == (box.root / "data/apr/plugins").string());
  ::setenv("XDG_DATA_HOME", "relative", 1);  // the standard says to pass over it
  CHECK(box.host()->search_path()[3] == from_user.string());
}

TEST_CASE("two plugins that provide one thing: the first has it, the second is refused") {
  const Sandbox box;
  box.put("fixture_sound");
  box.put("fixture_fails");
  const fs::path path = box.plugins / "libfixture_fails.json";
  Json json = *parse_json(read(path));
  Json provides = Json::array();
  provides.push_back(Json::object({{"kind", "scheme"}, {"id", "half_sound"}, {"summary", "mine"}}));
  json.set("provides", provides);
  write(path, json.dump());
  const auto host = box.host();
  CHECK(find(*host, "fixture_fails")->refusal == "");  // first by file name
  CHECK_THAT(find(*host, "fixture_sound")->refusal,
             Contains("scheme 'half_sound'") && Contains("fixture_fails"));
}

TEST_CASE("the current folder is never searched") {
  const Sandbox box;
  box.put("fixture_sound");
  fs::current_path(box.plugins);
  const auto host = PluginHost::create({});
  REQUIRE(host);
  CHECK(find(**host, "fixture_sound") == nullptr);
  ::setenv("APR_PLUGIN_PATH", ":", 1);  // empty entries mean the current folder elsewhere
  CHECK(find(**PluginHost::create({}), "fixture_sound") == nullptr);
  for (const char* relative : {".", "plugins", "/tmp:."}) {
    ::setenv("APR_PLUGIN_PATH", relative, 1);
    const auto refused = PluginHost::create({});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::usage);
    CHECK_THAT(refused.error().to_string(), Contains("APR_PLUGIN_PATH"));
  }
  ::unsetenv("APR_PLUGIN_PATH");
  // A folder that the user names is fine, and stays the same one if the process moves.
  const auto named = PluginHost::create({"."});
  REQUIRE(named);
  fs::current_path("/");
  CHECK((*named)->load("fixture_sound"));
}

TEST_CASE("a folder given by name must exist") {
  const Sandbox box;
  for (const std::string& folder :
       {std::string("/does/not/exist"), std::string(""), (box.root / "home").string()}) {
    const auto host = PluginHost::create({folder});
    REQUIRE_FALSE(host);
    CHECK(host.error().code == ErrorCode::not_found);
    CHECK_THAT(host.error().to_string(), Contains("--plugin-path"));
  }
}

TEST_CASE("links may not lead a library out of its folder") {
  const Sandbox box;
  const fs::path elsewhere = box.root / "elsewhere";
  box.put("fixture_sound", elsewhere);
  fs::copy_file(elsewhere / "libfixture_sound.json", box.plugins / "libfixture_sound.json");
  fs::create_symlink(elsewhere / "libfixture_sound.so", box.plugins / "libfixture_sound.so");
  CHECK_THAT(box.only().refusal, Contains("outside its folder"));

  // A link within the folder, as versioned libraries have, is fine.
  fs::remove(box.plugins / "libfixture_sound.so");
  fs::copy_file(elsewhere / "libfixture_sound.so", box.plugins / "libfixture_sound.so.1");
  fs::create_symlink("libfixture_sound.so.1", box.plugins / "libfixture_sound.so");
  CHECK(box.only().refusal == "");
  CHECK(box.host()->load("fixture_sound"));

  // A search folder that is itself a link is fine, and is read once.
  fs::create_directory_symlink(box.plugins, box.root / "link");
  const auto host = PluginHost::create({(box.root / "link").string(), box.plugins.string()});
  REQUIRE(host);
  CHECK((*host)->plugins()[0].refusal == "");
}

TEST_CASE("what anyone may write is not loaded") {
  const Sandbox box;
  box.put("fixture_sound");
  for (const fs::path& path :
       {box.plugins, box.plugins / "libfixture_sound.so", box.plugins / "libfixture_sound.json"}) {
    CHECK(box.only().refusal == "");
    fs::permissions(path, fs::perms::others_write, fs::perm_options::add);
    CHECK_THAT(box.only().refusal, Contains("chmod o-w"));
    CHECK_FALSE(box.host()->load("fixture_sound"));
    fs::permissions(path, fs::perms::others_write, fs::perm_options::remove);
  }
}

TEST_CASE("a library outlives the host that loaded it") {
  const Sandbox box;
  box.put("fixture_sound");
  Quantizer::Scheme scheme;
  {
    const auto host = box.host();
    scheme = host->registry().quantization("half_sound")->scheme;
  }
  CHECK(scheme.summary == "half precision");  // text that lies in the library
}
