// What the tests of this folder share: scratch folders, plugins, whole files.
#pragma once

#include <filesystem>
#include <string>

#include "core/package/package.h"
#include "core/plugin/plugin.h"

namespace test {

/// A new folder that goes with the object.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string path(const std::string& name) const { return (root_ / name).string(); }
  const std::filesystem::path& root() const { return root_; }

 private:
  std::filesystem::path root_;
};

std::string read(const std::string& path);
void write(const std::string& path, const std::string& content);

/// The plugins as static programs register them.
apr::Registry& registry();
apr::Result<apr::Package> import(const std::string& source);
apr::Result<apr::Exporter::Outcome> export_to(const apr::Package& package,
                                              const std::string& target, bool overwrite = false);

inline const std::string kTinyChat = APR_SOURCE_DIR "/golden/apr-tiny-chat";
/// Empty, with a message, when the larger test data is not there.
std::string shared(const std::string& name);

/// Everything a package holds, compared.
void require_same_tensors(const apr::Package& a, const apr::Package& b);

/// Output of a command; fails the test if it does not succeed.
std::string run(const std::string& command);

}  // namespace test
