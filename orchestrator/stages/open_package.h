// Opening whatever the user named: an `.apr` file, or any source an importer recognizes.
#pragma once

#include <string>
#include <string_view>

#include "core/package/package.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// Opens `path` as a package: `.apr` files by their magic, everything else through the importer
/// that recognizes it. Remote addresses and pickle files are refused with what to do instead.
Result<Package> open_any(RunContext& context, const std::string& path);

/// Compares every digest and checksum of an `.apr` before its weights go into another file: new
/// digests over damaged weights would hide the damage for good. Other sources carry none.
Status check_digests(RunContext& context, const Package& package);

/// True for a regular file that begins like an `.apr` file of any version.
bool looks_like_apr(const std::string& path);

/// Stops long work after Ctrl-C.
inline Status check_interrupted() {
  if (g_interrupted.load(std::memory_order_relaxed)) {
    return make_error(ErrorCode::interrupted, "stopped before the end");
  }
  return {};
}

/// Forwards a plugin's progress to whoever shows it, and Ctrl-C to the plugin.
ProgressFunction forward_progress(RunContext& context);

/// The model's own name: metadata, else the file's without its extension.
std::string model_name(const Package& package);

}  // namespace apr
