#include "orchestrator/pipeline/job.h"

#include <link.h>

#include <algorithm>
#include <fstream>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/cpu.h"
#include "core/platform/file.h"
#include "orchestrator/pipeline/values.h"

namespace apr::pipeline {
namespace {

constexpr std::size_t kMaxPrinted = 4096;
constexpr std::uint64_t kMaxLog = std::uint64_t{64} << 20;

/// The programs whose code decides results: ourselves and the core library.
std::vector<std::string> program_files() {
  std::vector<std::string> files{"/proc/self/exe"};
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        const std::string_view path = info->dlpi_name == nullptr ? "" : info->dlpi_name;
        const std::size_t slash = path.rfind('/');
        const std::string_view name = slash == path.npos ? path : path.substr(slash + 1);
        if (name.starts_with("libapr.so")) {
          static_cast<std::vector<std::string>*>(data)->emplace_back(path);
        }
        return 0;
      },
      &files);
  return files;
}

std::string beginning_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxPrinted, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

/// File name of an output: its port, and the ending that the schema shows ("MODEL.apr").
std::string output_file(const Param& param) {
  const std::size_t dot = param.value_name.rfind('.');
  return dot == std::string::npos ? param.name : param.name + param.value_name.substr(dot);
}

void replace_in_texts(Json& json, const std::string& from, const std::string& to) {
  if (json.is_string()) {
    const std::string& text = json.as_string();
    if (text.starts_with(from)) json = to + text.substr(from.size());
  } else if (json.is_array()) {
    Json changed = Json::array();
    for (Json item : json.as_array()) {
      replace_in_texts(item, from, to);
      changed.push_back(std::move(item));
    }
    json = std::move(changed);
  } else if (json.is_object()) {
    Json changed = Json::object();
    for (auto [key, value] : json.as_object()) {
      replace_in_texts(value, from, to);
      changed.set(key, std::move(value));
    }
    json = std::move(changed);
  }
}

std::string shown(const Json& value) {
  return value.is_null() ? "nothing" : value.dump();
}

}  // namespace

Result<InputUse> Workshop::input(const std::string& path) {
  InputUse use;
  use.path = path;
  if (has_scheme(path)) {
    const std::string scheme = path.substr(0, path.find("://"));
    return make_error(
        ErrorCode::unsupported, cat("sources of the form ", scheme, ":// cannot be opened"), path,
        scheme == "hf"
            ? "the hub importer is not part of this version yet: download the model and name its "
              "folder instead"
            : "name a file or a folder");
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto known = outputs_.find(path); known != outputs_.end()) {
      use.digest = known->second.digest;
      use.size = known->second.size;
      return use;
    }
  }
  APR_ASSIGN(auto entry, book_.digest_input(path));
  use.digest = entry.digest;
  use.artifact = std::move(entry.artifact);
  use.size = use.artifact.size();
  use.foreign = true;
  return use;
}

void Workshop::learn(const CacheEntry& entry) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Output& output : entry.outputs) outputs_[output.path] = output;
}

std::optional<Output> Workshop::known_output(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known = outputs_.find(path);
  if (known == outputs_.end()) return std::nullopt;
  return known->second;
}

Result<std::string> Workshop::program_digest() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!program_digest_.empty()) return program_digest_;
  }
  Sha256 hash;
  for (const std::string& file : program_files()) {
    APR_ASSIGN(const auto entry, book_.digest(file));
    hash.update(entry.digest.hex());
  }
  const std::string digest = hash.finish().hex();
  const std::lock_guard<std::mutex> lock(mutex_);
  program_digest_ = digest;
  return digest;
}

Result<PluginUse> Workshop::plugin(const std::string& kind, const std::string& id) {
  const std::string name = cat(kind, "/", id);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto known = plugin_digests_.find(name); known != plugin_digests_.end()) {
    return known->second;
  }
  PluginUse use;
  use.name = name;
  APR_ASSIGN(use.digest, plugins_.digest_of(kind, id));
  for (const PluginInfo& info : plugins_.plugins()) {
    if (info.sha256 == use.digest.hex()) use.plugin = cat(info.name, " ", info.version);
  }
  plugin_digests_[name] = use;
  return use;
}

Result<PreparedJob> Workshop::prepare(Job job) {
  PreparedJob prepared;
  const VerbInfo& info = job.verb->info();
  // Outputs are not chosen yet; any text will do for the check.
  Json complete = job.params;
  for (const std::string& port : job.ports) complete.set(port, port);
  APR_ASSIGN(const Values checked, check_params(info.params, complete));

  Json parameters = Json::object();
  Json inputs = Json::object();
  Json object = Json::object();
  for (const Param& param : info.params) {
    const Json* value = checked.json().find(param.name);
    if (value == nullptr || param.role == ParamRole::output) continue;
    object.set(param.name, *value);
    if (param.role == ParamRole::input) {
      Json digests = Json::array();
      const JsonArray paths = value->is_array() ? value->as_array() : JsonArray{*value};
      for (const Json& path : paths) {
        APR_ASSIGN(InputUse use, input(path.as_string()));
        prepared.input_bytes += use.size;
        digests.push_back(use.digest.hex());
        prepared.inputs.push_back(std::move(use));
      }
      inputs.set(param.name, value->is_array() ? std::move(digests) : digests.as_array()[0]);
    } else if (param.affects_result && !param.cli_only) {
      parameters.set(param.name, *value);
    }
  }
  prepared.values = Values(std::move(object));

  Json plugins = Json::object();
  for (const auto& [kind, id] : job.verb->plugins_used(prepared.values)) {
    APR_ASSIGN(PluginUse use, plugin(kind, id));
    plugins.set(use.name, use.digest.hex());
    prepared.plugins.push_back(std::move(use));
  }
  // Whatever reads a model reads it through these; which of them is not known before it is opened.
  for (const PluginInfo& plugin : plugins_.plugins()) {
    const bool reads = std::any_of(
        plugin.provides.begin(), plugin.provides.end(), [](const PluginInfo::Provided& provided) {
          return provided.kind == "architecture" || provided.kind == "importer";
        });
    if (reads && plugin.refusal.empty()) plugins.set(plugin.name, plugin.sha256);
  }
  Json ports = Json::array();
  for (const std::string& port : job.ports) ports.push_back(port);
  APR_ASSIGN(std::string program, program_digest());

  if (const Json facts = job.verb->key_facts(prepared.values); !facts.is_null()) {
    parameters.set("input_facts", facts);
  }

  Json& components = prepared.components;
  components.set("stage", info.name);
  components.set("version", APR_VERSION);
  components.set("program", std::move(program));
  components.set("cpu", name_of(cpu_level()));
  components.set("plugins", std::move(plugins));
  components.set("parameters", std::move(parameters));
  components.set("inputs", std::move(inputs));
  components.set("outputs", std::move(ports));
  if (environment_.size() > 0) components.set("environment", environment_);
  prepared.key = sha256(components.dump()).hex();
  prepared.job = std::move(job);
  return prepared;
}

std::optional<CacheEntry> Workshop::find(const PreparedJob& job) {
  if (!job.job.verb->info().reproducible) return std::nullopt;
  auto entry = cache_.find(job.key);
  if (!entry) return std::nullopt;
  // A size and a time can be forged by any copying tool; the book goes by the change time, too, and
  // reads a file's bytes again only when one of these is another.
  for (const Output& output : entry->outputs) {
    const auto now = book_.digest(output.path);
    if (!now || now->digest != output.digest) return std::nullopt;
  }
  return entry;
}

std::shared_ptr<std::mutex> Workshop::lock_for(const std::string& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto& entry = running_[key];
  if (!entry) entry = std::make_shared<std::mutex>();
  return entry;
}

void Workshop::set_environment(const Json& environment) {
  environment_ = Json::object();
  for (const auto& [name, value] : environment.as_object()) {
    environment_.set(name, value.is_string() ? Json(sha256(value.as_string()).hex()) : Json());
  }
}

Result<JobResult> Workshop::run(const PreparedJob& job, const WorkLimits& limits,
                                Progress& progress, const std::function<void()>& on_work,
                                WorkNotes& notes) {
  const std::shared_ptr<std::mutex> mutex = lock_for(job.key);
  const std::lock_guard<std::mutex> lock(*mutex);
  if (auto entry = find(job)) {
    JobResult result;
    result.cached = true;
    result.entry = *std::move(entry);
    learn(result.entry);
    return result;
  }
  on_work();
  return execute(job, limits, progress, notes);
}

Status Workshop::check_inputs_unchanged(const PreparedJob& job) {
  for (const InputUse& use : job.inputs) {
    if (!use.foreign) continue;
    APR_ASSIGN(const Artifact now, look_at_input(use.path));
    if (now == use.artifact) continue;
    const bool linked = std::ranges::equal(
        now.files, use.artifact.files,
        [](const FileFacts& a, const FileFacts& b) { return a.same_but_links(b); });
    const auto again = linked ? book_.digest_input(use.path) : DigestBook::Entry{};
    if (!again || again->digest != use.digest) {
      return make_error(ErrorCode::io, "the input changed while the stage ran", use.path,
                        "run again; the result was thrown away");
    }
  }
  return {};
}

/// Takes secrets out of what was printed, and keeps a copy with the run.
Status Workshop::keep_texts(const PreparedJob& job, const std::string& work, WorkNotes& notes) {
  std::string all;
  for (const char* name : {"out.txt", "notes.txt", "stray.txt"}) {
    const std::string path = cat(work, "/", name);
    const bool stray = std::string_view(name) == "stray.txt";
    APR_ASSIGN(const FileStatus there, file_status(path));
    if (there.kind == FileKind::missing) continue;
    auto text = read_file(path, kMaxLog);
    if (!secrets_.empty() && !text) return std::move(text).error();
    if (text && !secrets_.empty()) {
      *text = secrets_.mask_text(*text);
      APR_TRY(write_flushed(path, *text));
    }
    if (text) all += *text;
    if (stray) remove_all(path);
  }
  notes.printed = all.substr(0, kMaxPrinted);
  if (log_folder_.empty()) return {};
  APR_TRY(make_folders(log_folder_));
  std::string name = job.job.label;
  std::ranges::replace_if(name, [](char c) { return c == '/' || c == ':' || c == ' '; }, '-');
  for (unsigned attempt = 1; attempt < 1000; ++attempt) {
    notes.log = cat(log_folder_, "/", name, attempt == 1 ? "" : cat(".", attempt), ".txt");
    APR_ASSIGN(const FileStatus status, file_status(notes.log));
    if (status.kind == FileKind::missing) break;
  }
  return write_flushed(notes.log, all);
}

Result<JobResult> Workshop::execute(const PreparedJob& job, const WorkLimits& limits,
                                    Progress& progress, WorkNotes& notes) {
  const VerbInfo& info = job.job.verb->info();
  if (executor_ == nullptr) return make_error(ErrorCode::generic, "nothing can be run here");
  APR_ASSIGN(const std::string work, state_.make_temporary_folder(job.key.substr(0, 12)));
  struct Remover {
    const std::string& folder;
    ~Remover() { remove_all(folder); }
  } const remover{work};

  WorkOrder order;
  order.verb = job.job.verb;
  order.values = Values(secrets_.reveal(job.values.json()));
  order.folder = work;
  order.threads = limits.threads;
  order.timeout_ms = limits.timeout_ms;
  std::vector<std::pair<std::string, std::string>> outputs;
  for (const Param& param : info.params) {
    const auto& ports = job.job.ports;
    if (std::find(ports.begin(), ports.end(), param.name) == ports.end()) continue;
    outputs.emplace_back(param.name, output_file(param));
    order.values.set(param.name, join_path(work, outputs.back().second));
  }
  const std::uint64_t start = monotonic_ns();
  WorkDone done = executor_->run(order, progress);
  const double seconds = static_cast<double>(monotonic_ns() - start) / 1e9;
  notes.timed_out = done.timed_out;
  notes.peak_memory_bytes = done.peak_memory_bytes;
  notes.cpu_seconds = done.cpu_seconds;
  APR_TRY(keep_texts(job, work, notes));
  if (!done.outcome) {
    Error error = secrets_.mask(std::move(done.outcome).error());
    if (error.code == ErrorCode::interrupted && error.hint.empty()) {
      error.hint = "what is finished is kept; `apr-pipeline resume` goes on from here";
    }
    return error;
  }
  const Outcome& outcome = *done.outcome;
  JobResult result;
  result.exit_code = outcome.exit_code;
  Json report = secrets_.mask(outcome.report);
  if (outcome.exit_code != 0) {
    result.entry.report = std::move(report);
    result.entry.cost.seconds = seconds;
    return result;
  }
  APR_TRY(check_inputs_unchanged(job));
  replace_in_texts(report, work, cat(state_.cache_folder(), "/", job.key));
  APR_ASSIGN(result.entry, cache_.store(job.key, job.components, work, outputs, report,
                                        {seconds, done.cpu_seconds, done.peak_memory_bytes},
                                        [&] { return find(job).has_value(); }));
  learn(result.entry);
  return result;
}

std::string printed_by(const CacheEntry& entry) {
  return beginning_of(cat(entry.folder, "/out.txt"));
}

std::vector<KeyDifference> key_differences(const Json& before, const Json& now) {
  std::vector<KeyDifference> list;
  const auto whole = [&](std::string_view key, std::string part) {
    if (before[key] != now[key])
      list.push_back({std::move(part), shown(before[key]), shown(now[key])});
  };
  const auto members = [&](std::string_view key, std::string_view part) {
    const auto add = [&](const std::string& name) {
      list.push_back({cat(part, " '", name, "'"), shown(before[key][name]), shown(now[key][name])});
    };
    for (const auto& [name, value] : now[key].as_object()) {
      if (before[key][name] != value) add(name);
    }
    for (const auto& [name, value] : before[key].as_object()) {
      if (!now[key].contains(name)) add(name);
    }
  };
  whole("stage", "verb");
  whole("version", "version of apr");
  whole("program", "program");
  members("parameters", "parameter");
  members("inputs", "input");
  members("plugins", "plugin");
  members("environment", "variable");
  whole("cpu", "kind of processor");
  whole("outputs", "wanted outputs");
  return list;
}

std::string difference(const Json& before, const Json& now) {
  const auto list = key_differences(before, now);
  if (list.empty()) return before == now ? "" : "something else changed";
  const KeyDifference& first = list.front();
  if (first.part == "verb") return "another stage is used";
  if (first.part == "program" || first.part == "version of apr") return "apr itself changed";
  if (first.part == "kind of processor") return "another kind of processor";
  if (first.part == "wanted outputs") return "other outputs are wanted";
  if (!first.part.starts_with("parameter")) return cat(first.part, " changed");
  return cat(first.part, " changed from ", first.before, " to ", first.now);
}

}  // namespace apr::pipeline
