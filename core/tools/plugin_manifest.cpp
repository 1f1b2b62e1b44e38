// apr-plugin-manifest NAME LIBRARY: writes the manifest of a plugin beside its library.
#include <cstdio>
#include <string>

#include "core/platform/file.h"
#include "core/plugin/host.h"

namespace {

int fail(const apr::Error& error) {
  std::fprintf(stderr, "apr-plugin-manifest: %s\n", error.to_string().c_str());
  return apr::exit_code(error.code);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(
        stderr,
        "usage: apr-plugin-manifest NAME LIBRARY\n"
        "Writes LIBRARY's manifest (libx.so -> libx.json) beside it. NAME is the name given "
        "to APR_PLUGIN.\n");
    return apr::exit_code(apr::ErrorCode::usage);
  }
  const std::string library = argv[2];
  const auto manifest = apr::manifest_of_library(library, argv[1]);
  if (!manifest) return fail(manifest.error());
  auto file = apr::AtomicFile::create(library.substr(0, library.rfind('.')) + ".json", true);
  if (!file) return fail(file.error());
  if (const auto written = file->write(*manifest); !written) return fail(written.error());
  if (const auto done = file->commit(); !done) return fail(done.error());
  return 0;
}
