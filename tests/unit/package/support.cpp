#include "tests/unit/package/support.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <random>
#include <sstream>

#include "core/base/cat.h"

extern "C" const apr::PluginDescriptor* apr_plugin_importer_safetensors_v1();
extern "C" const apr::PluginDescriptor* apr_plugin_exporter_safetensors_v1();

namespace test {

namespace fs = std::filesystem;

Scratch::Scratch() {
  std::random_device random;
  root_ = fs::temp_directory_path() / apr::cat("apr-test-", random(), "-", random());
  fs::create_directories(root_);
}

Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

std::string read(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void write(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

apr::Registry& registry() {
  static apr::Registry instance = [] {
    apr::Registry made;
    if (!apr::register_plugin(made, *apr_plugin_importer_safetensors_v1()).ok()) std::abort();
    if (!apr::register_plugin(made, *apr_plugin_exporter_safetensors_v1()).ok()) std::abort();
    return made;
  }();
  return instance;
}

apr::Result<apr::Package> import(const std::string& source) {
  APR_ASSIGN(apr::Importer * importer, registry().importer("safetensors"));
  return importer->open(source, {});
}

apr::Result<apr::Exporter::Outcome> export_to(const apr::Package& package,
                                              const std::string& target, bool overwrite) {
  APR_ASSIGN(apr::Exporter * exporter, registry().exporter("safetensors"));
  return exporter->write(package, target, overwrite, {});
}

std::string shared(const std::string& name) {
  const fs::path path = fs::path(APR_SHARED_DATA) / name;
  if (fs::exists(path)) return path.string();
  WARN("skipped: " << path << " is not there");
  return {};
}

void require_same_tensors(const apr::Package& a, const apr::Package& b) {
  REQUIRE(a.tensors().size() == b.tensors().size());
  for (std::size_t i = 0; i < a.tensors().size(); ++i) {
    const apr::TensorEntry& left = a.tensors()[i];
    const apr::TensorEntry& right = b.tensors()[i];
    INFO(left.name);
    REQUIRE(left.name == right.name);
    REQUIRE(left.alias_of == right.alias_of);
    REQUIRE(left.view.type == right.view.type);
    REQUIRE(left.view.shape == right.view.shape);
    REQUIRE(std::ranges::equal(left.view.data, right.view.data));
  }
}

std::string run(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  std::array<char, 4096> buffer;
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.append(buffer.data(), count);
  }
  const int status = ::pclose(pipe);
  INFO(command << "\n" << output);
  REQUIRE(status == 0);
  return output;
}

}  // namespace test
