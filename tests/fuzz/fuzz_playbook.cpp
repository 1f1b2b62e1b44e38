// Playbooks: any bytes are refused with a place in the file, or are steps of apr's programs with
// nothing but plain file names. No step is run.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "orchestrator/playbook/pattern.h"
#include "orchestrator/playbook/playbook.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace apr;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  pipeline::Diagnostics found;
  const auto playbook = playbook::read_playbook_text(text, "fuzz.yaml", found);
  if (!playbook) {
    if (playbook.error().message.empty() || playbook.error().context.empty()) std::abort();
    return 0;
  }
  for (const pipeline::Diagnostic& one : found.all()) {
    if (one.message.empty()) std::abort();
  }
  if (found.errors() > 0) return 0;
  if (playbook->steps.empty() || playbook->steps.front().command.empty()) std::abort();
  for (const playbook::Step& step : playbook->steps) {
    if (step.command.empty()) continue;
    if (step.command.front() != "apr" && step.command.front() != "apr-pipeline") std::abort();
    for (const std::string& pattern : step.expect.output_matches) {
      static_cast<void>(playbook::pattern_found(pattern, "aaaaaaaa abc 12.5\nxyz\n").ok());
    }
  }
  for (const auto& [name, content] : playbook->files) {
    if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos) std::abort();
  }
  return 0;
}
