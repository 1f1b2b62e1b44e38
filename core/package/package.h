// Package: an opened model, whatever file it came from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/platform/file.h"
#include "core/tensor/tensor.h"

namespace apr {

/// A tensor of a package. Names are Hugging Face's; the bytes lie in a mapping the package holds.
struct TensorEntry {
  std::string name;
  TensorView view;
  /// Name of the tensor whose bytes these are, for an index entry that stores nothing of its own
  /// (a tied lm_head.weight). Empty otherwise.
  std::string alias_of;
};

/// One step of a model's history. Everything in it is hashed, so nothing in it depends on when or
/// where the step ran.
struct LineageRecord {
  std::string stage;                 ///< verb: "import", "convert"
  std::string tool;                  ///< "apr 0.1.0"
  std::string plugin;                ///< "importers/safetensors 0.1.0", may be empty
  Json parameters = Json::object();  ///< canonical, without paths
  struct Input {
    std::string name;  ///< base name of the file, or the parent model's name
    Digest digest;     ///< SHA-256 of a file, or content root of a parent `.apr`
  };
  std::vector<Input> inputs;
};

/// An opened model: tables copied and checked, tensor bytes mapped, never copied. Immutable once
/// built and safe to read from many threads. Cheap to move; copies share the mappings.
class APR_API Package {
 public:
  /// Hugging Face's config.json of the model (the original file where the source had one).
  const Json& config() const { return config_; }
  /// Sorted by name.
  std::span<const TensorEntry> tensors() const { return tensors_; }
  const TensorEntry* find(std::string_view name) const;

  /// Original small files, by name: "config.json", "tokenizer.json", "tokenizer_config.json", …
  const std::map<std::string, std::string, std::less<>>& files() const { return files_; }
  const std::string* file(std::string_view name) const;
  /// The binary tokenizer table (see Tokenizer::from_binary); empty when there is none.
  std::span<const std::byte> tokenizer_table() const { return tokenizer_table_; }

  /// Metadata of the container: `.apr` metadata or safetensors' __metadata__.
  const Json& metadata() const { return metadata_; }
  const std::vector<LineageRecord>& lineage() const { return lineage_; }

  const std::string& path() const { return path_; }      ///< as given by the user
  const std::string& format() const { return format_; }  ///< "apr", "safetensors"
  /// Content root of an `.apr` with a trust section; nothing for other sources.
  const std::optional<Digest>& content_root() const { return content_root_; }
  /// Why the trust section of an `.apr` cannot be used (another tool rewrote the file); empty if it
  /// can, or if there never was one.
  const std::string& trust_problem() const { return trust_problem_; }
  /// True for weights that were made up, not trained (metadata "synthetic": true).
  bool synthetic() const;

  /// Every tensor's elements, aliases counted once.
  std::uint64_t parameter_count() const;
  /// An error if a mapped source changed since it was opened.
  Status check_unchanged() const;

  /// Filled by readers; checks that names are unique and every view has exactly the bytes its type
  /// and shape need, sorts, and points aliases at existing tensors.
  struct Parts {
    std::string path;
    std::string format;
    Json config = Json::object();
    Json metadata = Json::object();
    std::vector<TensorEntry> tensors;
    std::map<std::string, std::string, std::less<>> files;
    std::vector<std::byte> tokenizer_table;
    std::vector<LineageRecord> lineage;
    std::optional<Digest> content_root;
    std::string trust_problem;
    std::vector<std::shared_ptr<const FileMapping>> mappings;
    std::vector<std::shared_ptr<const Tensor>> owned;  ///< tensors held in memory
  };
  static Result<Package> from(Parts parts);

 private:
  Package() = default;
  std::string path_;
  std::string format_;
  Json config_;
  Json metadata_;
  std::vector<TensorEntry> tensors_;
  std::map<std::string, std::string, std::less<>> files_;
  std::vector<std::byte> tokenizer_table_;
  std::vector<LineageRecord> lineage_;
  std::optional<Digest> content_root_;
  std::string trust_problem_;
  std::vector<std::shared_ptr<const FileMapping>> mappings_;
  std::vector<std::shared_ptr<const Tensor>> owned_;
};

/// Opens an `.apr` file as a package. Checks header, metadata, index, bounds, overlaps and the
/// truncation invariant; digests and checksums of the data are checked by verify_apr() only.
APR_API Result<Package> open_apr(const std::string& path);

}  // namespace apr
