// The small files that people hand around with a model: canaries, lock files, plugin manifests,
// multiple-choice tasks, golden traces, index files. Any bytes are read or refused by every reader;
// after a zero byte the tensors of a golden trace may follow.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/base/hash.h"
#include "core/platform/file.h"
#include "core/plugin/host.h"
#include "orchestrator/pipeline/lock_file.h"
#include "orchestrator/process/fresh_folder.h"
#include "orchestrator/stages/canary_file.h"
#include "orchestrator/stages/golden_trace.h"
#include "orchestrator/stages/multiple_choice.h"

namespace {

using namespace apr;

void require(bool holds) {
  if (!holds) std::abort();
}

class Desk {
 public:
  const std::string& path() const { return folder_.path(); }
  std::string put(const std::string& name, std::string_view bytes) const {
    const std::string path = join_path(folder_.path(), name);
    auto file = AtomicFile::create(path, true);
    require(file.ok() && file->write(bytes).ok() && file->commit().ok());
    return path;
  }

 private:
  static FreshFolder make() {
    auto folder = FreshFolder::create("apr-fuzz-documents");
    require(folder.ok());
    return *std::move(folder);
  }
  FreshFolder folder_ = make();
};

template <typename T>
void check_error(const Result<T>& result) {
  require(result.ok() || !result.error().message.empty());
}

void check_canary(const Desk& desk, const std::string& path) {
  const auto canary = read_canary(path);
  check_error(canary);
  if (!canary) return;
  for (const CanaryPrompt& prompt : canary->prompts) {
    require(!prompt.ids.empty() && prompt.row_rms.size() == prompt.ids.size());
    for (const std::uint64_t index : prompt.top) require(index < prompt.features);
  }
  const Json json = canary_as_json(*canary);
  const auto again = read_canary(desk.put("again.json", json.dump()));
  require(again.ok() && canary_as_json(*again) == json);
}

void check_lock(const Desk& desk, const std::string& path) {
  const auto lock = pipeline::LockFile::read(path);
  check_error(lock);
  if (!lock) return;
  const auto again = pipeline::LockFile::read(desk.put("again.lock", lock->to_json().dump()));
  require(again.ok() && pipeline::lock_differences(*lock, *again).empty());
}

/// The manifest is listed with the reason why it is not loaded: there is no library beside it.
void check_plugins(const Desk& desk) {
  const auto host = PluginHost::create({desk.path()});
  require(host.ok());
  bool listed = false;
  for (const PluginInfo& plugin : (*host)->plugins()) {
    if (!plugin.manifest.starts_with(desk.path())) continue;
    listed = true;
    require(!plugin.name.empty() && !plugin.refusal.empty());
  }
  require(listed);
}

void check_choices(std::string_view text) {
  const auto items = read_choices(text, "fuzz.jsonl");
  check_error(items);
  if (!items) return;
  for (const ChoiceItem& item : *items) require(item.gold < item.choices.size());
}

/// The trace names tensors.bin and has its digest wherever it says so with an '@'.
void check_golden(const Desk& desk, std::string text, std::string_view tensors) {
  desk.put("tensors.bin", tensors);
  const std::string digest = sha256(std::as_bytes(std::span(tensors))).hex();
  for (std::size_t at = 0; (at = text.find('@', at)) != text.npos; at += digest.size()) {
    text.replace(at, 1, digest);
    if (text.size() > (1u << 20)) return;
  }
  const auto trace = GoldenTrace::open(desk.put("golden.json", text));
  check_error(trace);
  if (!trace) return;
  require(trace->longest_sequence() > 0 && trace->largest_step() > 0);
  require(trace->most_sequences() > 0);
  static_cast<void>(trace->tap_names().size());
  for (const GoldenPrompt& prompt : trace->prompts()) {
    require(prompt.tokens() >= prompt.longest());
    for (const auto* names : {&prompt.values, &prompt.controls}) {
      for (const std::string& name : *names) {
        const GoldenValue& value = trace->value(prompt, name);
        require(value.numbers.size() == value.shape.elements());
      }
    }
  }
  for (const std::string& name : trace->shared_values()) {
    static_cast<void>(trace->shared_value(name).numbers.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Desk desk;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string_view text = bytes.substr(0, bytes.find('\0'));
  const std::string_view tensors = bytes.substr(std::min(text.size() + 1, bytes.size()));
  const std::string path = desk.put("libapr_fuzz.json", text);
  check_canary(desk, path);
  check_lock(desk, path);
  check_plugins(desk);
  check_choices(text);
  check_golden(desk, std::string(text), tensors);
  return 0;
}
