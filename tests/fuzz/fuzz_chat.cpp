// apr chat on a pipe, with the bundled model behind it: any bytes are lines of commands and
// messages, and, after a byte 0x1E, a saved conversation for /load. Whatever was typed, saved or
// loaded, the prompts that the model reads have special tokens where the template puts them and
// nowhere else.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

#include "core/platform/file.h"
#include "orchestrator/process/fresh_folder.h"
#include "orchestrator/stages/attention_record.h"
#include "orchestrator/stages/chatter.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"

namespace {

using namespace apr;

constexpr std::size_t kMaxLines = 8;

void require(bool holds) {
  if (!holds) std::abort();
}

template <typename T>
T must(Result<T> result) {
  require(result.ok());
  return *std::move(result);
}

class Silence final : public Progress {
 public:
  void update(std::string_view, std::uint64_t, std::uint64_t) override {}
  void finish() override {}
};

/// All that outlives one input.
struct Workplace {
  FreshFolder folder = must(FreshFolder::create("apr-fuzz-chat"));
  std::string saved = join_path(folder.path(), "chat.json");
  std::unique_ptr<PluginHost> plugins =
      must(PluginHost::create({APR_BINARY_DIR "/lib/apr/plugins"}));
  Silence silence;
  std::ostringstream out;
  std::ostringstream notes;
  const VerbInfo& info = find_verb("chat")->info();
  RunContext context{
      .params = must(check_params(
          info.params,
          Json::object({{"model", "x"}, {"max-tokens", 3}, {"context", 256}, {"inspect", true}}))),
      .plugins = *plugins,
      .progress = silence,
      .out = out,
      .notes = notes,
      .threads = 1};
  Model model = load();
  TokenId begin = *must(model.tokenizer())->id_of("<|im_start|>");
  TokenId end = *must(model.tokenizer())->id_of("<|im_end|>");

  Model load() {
    Package package = must(open_any(context, APR_SOURCE_DIR "/golden/apr-tiny-chat"));
    CompileOptions compile;
    compile.taps = attention_values(must(graph_of(package, context.registry())));
    context.params.set("max-tokens", Json(3));
    return must(load_model(context, std::move(package), std::move(compile)));
  }
};

/// The lines, but files are only written and read where nothing can be hurt.
std::string harmless(std::string_view script, const std::string& saved) {
  std::string lines;
  for (std::size_t n = 0; n < kMaxLines && !script.empty(); ++n) {
    const std::string_view line = script.substr(0, script.find('\n'));
    script.remove_prefix(std::min(line.size() + 1, script.size()));
    if (line.starts_with("/save")) {
      lines += "/save -f " + saved;
    } else if (line.starts_with("/load")) {
      lines += "/load " + saved;
    } else {
      lines += line;
    }
    lines += '\n';
  }
  return lines;
}

void put_on_standard_input(std::string_view text) {
  const int file = ::memfd_create("chat", MFD_CLOEXEC);
  require(file >= 0 && ::write(file, text.data(), text.size()) >= 0);
  require(::lseek(file, 0, SEEK_SET) == 0 && ::dup2(file, STDIN_FILENO) == STDIN_FILENO);
  ::close(file);
}

/// A turn of the template's, again and again: im_start … im_end, and im_start before the answer.
void check_prompt(const Json& ids, const Workplace& work, const Tokenizer& tokenizer) {
  bool open = false;
  for (const Json& item : ids.as_array()) {
    const auto id = static_cast<TokenId>(item.as_integer());
    if (!tokenizer.is_special(id)) continue;
    require(id == (open ? work.end : work.begin));
    open = !open;
  }
  require(open);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Workplace work;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string_view script = bytes.substr(0, bytes.find('\x1e'));
  const std::string_view saved = bytes.substr(std::min(script.size() + 1, bytes.size()));
  {
    AtomicFile file = must(AtomicFile::create(work.saved, true));
    require(file.write(saved).ok() && file.commit().ok());
  }
  for (const bool json : {true, false}) {
    work.context.json = json;
    work.out.str({});
    work.notes.str({});
    put_on_standard_input(harmless(script, work.saved));
    auto conversation = Conversation::create(work.context.params, work.model);
    require(conversation.ok());
    const auto outcome = run_chat(work.context, work.info, work.model, *std::move(conversation));
    require(outcome.ok() || !outcome.error().message.empty());
    if (!json) break;
    std::istringstream lines(work.out.str());
    for (std::string line; std::getline(lines, line);) {
      const auto turn = parse_json(line);
      require(turn.ok());
      if (turn->contains("prompt_ids")) {
        check_prompt((*turn)["prompt_ids"], work, *must(work.model.tokenizer()));
      }
    }
  }
  return 0;
}
