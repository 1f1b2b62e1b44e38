// Opens safetensors checkpoints as packages: one file, a Hugging Face folder, or shards with an
// index.
#include "core/formats/safetensors/safetensors.h"

#include <algorithm>
#include <memory>

#include "core/base/cat.h"
#include "core/formats/apr/sections.h"
#include "core/formats/bytes.h"
#include "core/formats/hugging_face.h"
#include "core/package/exported_lineage.h"
#include "core/plugin/plugin.h"
#include "plugins/importers/safetensors/shards.h"
#include "plugins/importers/safetensors/source.h"

namespace apr::safetensors_import {

namespace {

constexpr std::uint64_t kMaxSmallFile = std::uint64_t{256} << 20;
constexpr std::string_view kEmbedding = "model.embed_tokens.weight";
constexpr std::string_view kHead = "lm_head.weight";

class Opening {
 public:
  explicit Opening(const ProgressFunction& progress) : progress_(progress) {}

  Result<Package> run(const std::string& path) {
    APR_ASSIGN(Source source, find_source(path));
    parts_.path = path;
    parts_.format = "safetensors";
    record_.stage = "import";
    record_.tool = "apr " APR_VERSION;
    APR_TRY(check_exists(source));
    APR_TRY(read_small_files(source));
    if (source.index.empty()) {
      APR_TRY(map_weights(source.weights.front(), nullptr));
    } else {
      APR_TRY(read_shards(source));
    }
    APR_TRY(hash_sources());
    APR_TRY(continue_history(source));
    tie_head();
    std::ranges::sort(record_.inputs, {}, &LineageRecord::Input::name);
    parts_.lineage.push_back(std::move(record_));
    return Package::from(std::move(parts_));
  }

 private:
  /// So that a wrong path is reported as such, and not as a missing config.json.
  static Status check_exists(const Source& source) {
    for (const std::string& file : source.weights) {
      const auto opened = FileMapping::open(file);
      if (!opened) return opened.error();
    }
    return {};
  }

  Status read_small_files(const Source& source) {
    APR_ASSIGN(const std::vector<std::string> names,
               list_folder(source.folder.empty() ? "." : source.folder));
    for (const std::string_view name : hugging_face_files()) {
      if (!std::ranges::binary_search(names, name)) continue;
      APR_ASSIGN(std::string content, read_file(join_path(source.folder, name), kMaxSmallFile));
      record_.inputs.push_back({std::string(name), sha256(content)});
      parts_.files.emplace(name, std::move(content));
    }
    APR_TRY(read_module_configs(source, names));
    const auto config = parts_.files.find("config.json");
    if (config == parts_.files.end()) {
      return make_error(
          ErrorCode::not_found, "there is no config.json beside the weights", parts_.path,
          "it says what kind of model this is; fetch it from where the weights came from");
    }
    APR_ASSIGN(parts_.config, parse_json(config->second, join_path(source.folder, "config.json")));
    if (!parts_.config.is_object()) {
      return make_error(ErrorCode::format, "is not a JSON object",
                        join_path(source.folder, "config.json"));
    }
    return {};
  }

  /// The settings of what sentence-transformers runs after the model: modules.json names their
  /// folders. What it says is for those to check who make embeddings.
  Status read_module_configs(const Source& source, std::span<const std::string> names) {
    const auto text = parts_.files.find("modules.json");
    if (text == parts_.files.end()) return {};
    const auto modules = parse_json(text->second);
    if (!modules) return {};
    for (const Json& module : modules->as_array()) {
      const std::string& folder = module["path"].as_string();
      const std::string name = folder + "/config.json";
      if (!std::ranges::binary_search(names, folder) || !file_name_problem(folder).empty() ||
          !stored_name_problem(name).empty() || parts_.files.contains(name)) {
        continue;
      }
      const std::string path = join_path(source.folder, name);
      APR_ASSIGN(const FileStatus status, file_status(path));
      if (status.kind != FileKind::file) continue;
      APR_ASSIGN(std::string content, read_file(path, kMaxSmallFile));
      record_.inputs.push_back({name, sha256(content)});
      parts_.files.emplace(name, std::move(content));
    }
    return {};
  }

  Status read_shards(const Source& source) {
    APR_ASSIGN(const std::string text, read_file(source.index, kMaxSmallFile));
    record_.inputs.push_back({base_name(source.index), sha256(text)});
    APR_ASSIGN(const ShardIndex index, ShardIndex::read(text, source.index));
    for (const std::string& shard : index.shards()) {
      auto mapped = map_weights(join_path(source.folder, shard), &index);
      if (!mapped) return std::move(mapped).error().within(source.index);
    }
    std::vector<std::string> present;
    present.reserve(parts_.tensors.size());
    for (const TensorEntry& entry : parts_.tensors) present.push_back(entry.name);
    std::ranges::sort(present);
    return index.check_complete(present);
  }

  Status map_weights(const std::string& path, const ShardIndex* index) {
    APR_ASSIGN(const std::shared_ptr<const FileMapping> file, FileMapping::open(path));
    APR_ASSIGN(SafetensorsTable table, read_safetensors_table(file->bytes(), path));
    const std::string shard = base_name(path);
    for (SafetensorsTensor& tensor : table.tensors) {
      if (index != nullptr) APR_TRY(index->check(tensor.name, shard));
      TensorEntry entry;
      entry.name = std::move(tensor.name);
      entry.view = aligned_view(*file, tensor);
      parts_.tensors.push_back(std::move(entry));
    }
    for (const auto& [key, value] : table.metadata.as_object()) {
      if (!parts_.metadata.contains(key)) parts_.metadata.set(key, value);
    }
    parts_.mappings.push_back(file);
    return {};
  }

  /// The format does not promise alignment; a tensor that lies askew is copied.
  TensorView aligned_view(const FileMapping& file, const SafetensorsTensor& tensor) {
    const auto bytes = file.bytes().subspan(static_cast<std::size_t>(tensor.offset),
                                            static_cast<std::size_t>(tensor.size));
    if (tensor.offset % traits(tensor.type).block_bytes == 0)
      return {tensor.type, tensor.shape, bytes};
    auto copy = std::make_shared<Tensor>();
    copy->type = tensor.type;
    copy->shape = tensor.shape;
    copy->data.assign(bytes.begin(), bytes.end());
    parts_.owned.push_back(copy);
    return copy->view();
  }

  Status hash_sources() {
    constexpr std::size_t kStep = std::size_t{16} << 20;
    std::uint64_t total = 0;
    for (const auto& mapping : parts_.mappings) total += mapping->bytes().size();
    std::uint64_t done = 0;
    for (const auto& mapping : parts_.mappings) {
      const std::string name = base_name(mapping->path());
      const auto bytes = mapping->bytes();
      Sha256 hash;
      for (std::size_t at = 0; at < bytes.size(); at += kStep) {
        const auto step = bytes.subspan(at, std::min(kStep, bytes.size() - at));
        hash.update(step);
        done += step.size();
        if (progress_ && !progress_(cat("reading ", name), done, total)) {
          return make_error(ErrorCode::interrupted, "stopped while reading", mapping->path());
        }
      }
      record_.inputs.push_back({name, hash.finish()});
    }
    return {};
  }

  /// Goes on with the history that an export left beside its files, if they are still those.
  Status continue_history(const Source& source) {
    const std::string path = join_path(source.folder, kExportedLineageFile);
    APR_ASSIGN(const FileStatus status, file_status(path));
    if (status.kind != FileKind::file) return {};
    APR_ASSIGN(const std::string text, read_file(path, kMaxSmallFile));
    APR_ASSIGN(ExportedLineage exported, decode_exported_lineage(text, path));
    for (const LineageRecord::Input& input : record_.inputs) {
      const auto listed = exported.files.find(input.name);
      if (listed != exported.files.end() && listed->second == input.digest) continue;
      record_.parameters.set(
          kLostHistory,
          cat(input.name, listed == exported.files.end() ? " was added" : " was changed",
              " after the export"));
      return {};
    }
    record_.inputs.push_back({std::string(kExportedLineageFile), sha256(text)});
    parts_.lineage = std::move(exported.records);
    return {};
  }

  /// A head that the config ties to the embedding becomes a name for the same bytes.
  void tie_head() {
    if (!parts_.config["tie_word_embeddings"].as_boolean()) return;
    const TensorEntry* embedding = nullptr;
    for (const TensorEntry& entry : parts_.tensors) {
      if (entry.name == kHead) return;
      if (entry.name == kEmbedding) embedding = &entry;
    }
    if (embedding == nullptr) return;
    parts_.tensors.push_back({std::string(kHead), embedding->view, std::string(kEmbedding)});
  }

  const ProgressFunction& progress_;
  Package::Parts parts_;
  LineageRecord record_;
};

class SafetensorsImporter final : public Importer {
 public:
  std::string_view id() const noexcept override { return "safetensors"; }
  std::string_view summary() const noexcept override {
    return "safetensors files, sharded checkpoints and Hugging Face folders";
  }

  bool recognizes(const std::string& source) const noexcept override {
    if (source.ends_with(".safetensors") || source.ends_with(".safetensors.index.json"))
      return true;
    const auto status = file_status(source);
    if (!status || status->kind == FileKind::missing) return false;
    if (status->kind == FileKind::folder) return true;
    // By content: a length that fits, then the brace that opens the header.
    const auto file = FileMapping::open(source);
    if (!file || (*file)->bytes().size() < 10) return false;
    const auto bytes = (*file)->bytes();
    return load_number<std::uint64_t>(bytes, 0) <= bytes.size() - 8 && bytes[8] == std::byte{'{'};
  }

  Result<Package> open(const std::string& source,
                       const ProgressFunction& progress) noexcept override {
    return Opening(progress).run(source);
  }
};

constexpr Provision kProvides[] = {
    {"importer", "safetensors", "safetensors files, sharded checkpoints and Hugging Face folders"}};

Status add(Registry& registry) noexcept {
  return registry.add(std::make_unique<SafetensorsImporter>());
}

}  // namespace

}  // namespace apr::safetensors_import

APR_PLUGIN(importer_safetensors, APR_VERSION, "Apache-2.0",
           "Imports safetensors checkpoints: single files, shards, Hugging Face folders.",
           apr::safetensors_import::kProvides, apr::safetensors_import::add)
