// Writes a package as a folder that Hugging Face's tools load: config and tokenizer files as they
// came, one model.safetensors, and the model's history so far.
#include "core/formats/safetensors/safetensors.h"

#include <algorithm>
#include <memory>

#include "core/base/cat.h"
#include "core/formats/apr/sections.h"
#include "core/formats/bytes.h"
#include "core/formats/hugging_face.h"
#include "core/package/exported_lineage.h"
#include "core/plugin/plugin.h"
#include "core/tensor/codec.h"

namespace apr::safetensors_export {

namespace {

constexpr std::size_t kStep = std::size_t{4} << 20;
constexpr std::string_view kConfig = "config.json";

class Writing {
 public:
  Writing(const Package& package, const ProgressFunction& progress)
      : package_(package), progress_(progress) {}

  Result<Exporter::Outcome> run(const std::string& target, bool overwrite) {
    for (const auto& [name, content] : package_.files()) {
      if (const auto problem = stored_name_problem(name); !problem.empty()) {
        return make_error(ErrorCode::format, cat("carries a file whose name ", problem),
                          package_.path());
      }
    }
    APR_TRY(plan_tensors());
    APR_ASSIGN(AtomicFolder folder,
               AtomicFolder::create(target, overwrite,
                                    [&](std::string_view name) { return may_replace(name); }));
    for (const auto& [name, content] : small_files()) APR_TRY(write_small(folder, name, content));
    APR_TRY(write_weights(folder));
    APR_TRY(write_lineage(folder));
    APR_TRY(folder.commit());
    std::ranges::sort(outcome_.files);
    return std::move(outcome_);
  }

 private:
  struct Planned {
    const TensorEntry* entry;
    bool decoded = false;
  };

  bool may_replace(std::string_view name) const {
    const auto known = hugging_face_files();
    return name == kWeightsFile || name == kWeightsIndexFile || name == kExportedLineageFile ||
           package_.file(name) != nullptr || std::ranges::find(known, name) != known.end();
  }

  Status plan_tensors() {
    // What the config leaves open the architecture decided when the model was imported.
    const bool tied = package_.config()["tie_word_embeddings"].as_boolean(
        package_.metadata()["tied_embeddings"].as_boolean());
    std::size_t decoded = 0;
    for (const TensorEntry& entry : package_.tensors()) {
      if (tied && !entry.alias_of.empty()) {
        outcome_.notes.push_back(cat(entry.name, " is left out: it is tied to ", entry.alias_of));
        continue;
      }
      Planned planned{&entry};
      SafetensorsTensor stored;
      stored.name = entry.name;
      stored.shape = entry.view.shape;
      stored.type = entry.view.type;
      if (safetensors_dtype(entry.view.type).empty()) {
        if (!can_decode(entry.view.type)) {
          return make_error(
              ErrorCode::unsupported,
              cat("type ", name_of(entry.view.type),
                  " has no place in a safetensors file and cannot be decoded by this build"),
              cat(package_.path(), ": tensor ", entry.name));
        }
        stored.type = Type::f32;
        planned.decoded = true;
        ++decoded;
      }
      planned_.push_back(planned);
      stored_.push_back(std::move(stored));
    }
    if (decoded > 0) {
      outcome_.notes.push_back(
          cat(decoded,
              " quantized tensors were decoded to float32, exactly; safetensors "
              "has no type for them"));
    }
    decoded_ = decoded > 0;
    return {};
  }

  /// The original files; config.json says float32 where tensors were decoded.
  AprFiles small_files() const {
    AprFiles files = package_.files();
    const bool original = files.contains(kConfig);
    if (decoded_ || !original) {
      Json config = package_.config();
      if (decoded_) config.set("torch_dtype", "float32");
      if (decoded_ && config.contains("dtype")) config.set("dtype", "float32");
      files.insert_or_assign(std::string(kConfig), config.dump(2) + "\n");
    }
    return files;
  }

  Status write_small(AtomicFolder& folder, const std::string& name, std::string_view content) {
    APR_ASSIGN(AtomicFile file, folder.create_file(name));
    APR_TRY(file.write(content));
    lineage_.files.insert_or_assign(name, sha256(content));
    return finish(file, name);
  }

  Status write_lineage(AtomicFolder& folder) {
    lineage_.records = lineage_of_export(package_, "exporter_safetensors " APR_VERSION);
    if (lineage_.records.empty()) return {};
    APR_ASSIGN(AtomicFile file, folder.create_file(std::string(kExportedLineageFile)));
    APR_TRY(file.write(encode_exported_lineage(lineage_)));
    return finish(file, kExportedLineageFile);
  }

  Status finish(AtomicFile& file, std::string_view name) {
    outcome_.files.emplace_back(name);
    outcome_.bytes += file.size();
    return file.commit();
  }

  Status write_weights(AtomicFolder& folder) {
    // transformers refuses weights whose metadata does not say how they were laid out.
    Json metadata = Json::object({{"format", "pt"}});
    if (package_.synthetic()) metadata.set("synthetic", "true");
    APR_ASSIGN(const std::string header, write_safetensors_header(stored_, metadata));
    for (const SafetensorsTensor& tensor : stored_) total_ += tensor.size;
    APR_ASSIGN(AtomicFile file, folder.create_file(kWeightsFile));
    APR_TRY(file.write(header));
    hash_.update(std::as_bytes(std::span(header)));
    for (const Planned& planned : planned_) {
      APR_TRY(planned.decoded ? write_decoded(file, planned.entry->view)
                              : write_plain(file, planned.entry->view.data));
    }
    lineage_.files.insert_or_assign(std::string(kWeightsFile), hash_.finish());
    return finish(file, kWeightsFile);
  }

  Status write_chunk(AtomicFile& file, std::span<const std::byte> bytes) {
    APR_TRY(file.write(bytes));
    hash_.update(bytes);
    done_ += bytes.size();
    if (progress_ && !progress_(cat("writing ", kWeightsFile), done_, total_)) {
      return make_error(ErrorCode::interrupted, "stopped while exporting");
    }
    return {};
  }

  Status write_plain(AtomicFile& file, std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += kStep) {
      APR_TRY(write_chunk(file, bytes.subspan(at, std::min(kStep, bytes.size() - at))));
    }
    return {};
  }

  Status write_decoded(AtomicFile& file, const TensorView& view) {
    // Whole blocks of every type, as decode() asks for; rows may end within a chunk.
    const std::uint64_t count = view.shape.elements();
    std::vector<float> values(
        static_cast<std::size_t>(std::min<std::uint64_t>(count, kStep / sizeof(float))));
    for (std::uint64_t at = 0; at < count; at += values.size()) {
      const auto part = std::span(values).first(
          static_cast<std::size_t>(std::min<std::uint64_t>(values.size(), count - at)));
      APR_TRY(decode(view, at, part));
      APR_TRY(write_chunk(file, std::as_bytes(part)));
    }
    return {};
  }

  const Package& package_;
  const ProgressFunction& progress_;
  std::vector<Planned> planned_;
  std::vector<SafetensorsTensor> stored_;  ///< as planned_
  bool decoded_ = false;
  Sha256 hash_;  ///< of the weights' file
  ExportedLineage lineage_;
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;
  Exporter::Outcome outcome_;
};

class SafetensorsExporter final : public Exporter {
 public:
  std::string_view id() const noexcept override { return "safetensors"; }
  std::string_view summary() const noexcept override {
    return "a folder that Hugging Face's tools load";
  }
  Result<Outcome> write(const Package& package, const std::string& target, bool overwrite,
                        const ProgressFunction& progress) noexcept override {
    return Writing(package, progress).run(target, overwrite);
  }
};

constexpr Provision kProvides[] = {
    {"exporter", "safetensors", "a folder that Hugging Face's tools load"}};

Status add(Registry& registry) noexcept {
  return registry.add(std::make_unique<SafetensorsExporter>());
}

}  // namespace

}  // namespace apr::safetensors_export

APR_PLUGIN(exporter_safetensors, APR_VERSION, "Apache-2.0",
           "Exports models as Hugging Face folders with safetensors weights.",
           apr::safetensors_export::kProvides, apr::safetensors_export::add)
