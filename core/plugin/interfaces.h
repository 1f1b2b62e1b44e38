// What a plugin can provide. All virtuals are noexcept and report failure as a value; objects are
// made and destroyed by the side that defines them. Backend is in core/runtime/backend.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/graph/graph.h"
#include "core/package/package.h"
#include "core/tensor/tensor.h"

namespace apr {

/// Told how far long work has come; `total` may be 0 (unknown). Returning false asks to stop, which
/// the callee reports as ErrorCode::interrupted.
using ProgressFunction =
    std::function<bool(std::string_view what, std::uint64_t done, std::uint64_t total)>;

/// Opens a foreign source as a package. Sources are opened read-only and never changed.
class Importer {
 public:
  virtual ~Importer() = default;
  virtual std::string_view id() const noexcept = 0;       ///< "safetensors"
  virtual std::string_view summary() const noexcept = 0;  ///< one line for `apr plugins list`
  /// True if this importer wants to open the source (looks at names and magic bytes only).
  virtual bool recognizes(const std::string& source) const noexcept = 0;
  /// Package::lineage() of the result holds one "import" record with the digest of every source
  /// file.
  virtual Result<Package> open(const std::string& source,
                               const ProgressFunction& progress) noexcept = 0;
};

/// Writes a package for another runtime.
class Exporter {
 public:
  virtual ~Exporter() = default;
  virtual std::string_view id() const noexcept = 0;  ///< the name given to --format
  virtual std::string_view summary() const noexcept = 0;
  struct Outcome {
    std::vector<std::string> files;  ///< relative to the target
    std::uint64_t bytes = 0;
    std::vector<std::string> notes;  ///< what the user should know ("12 tensors were decoded …")
  };
  /// Writes to `target` (a file or a folder, as the format has it), atomically.
  virtual Result<Outcome> write(const Package& package, const std::string& target, bool overwrite,
                                const ProgressFunction& progress) noexcept = 0;
};

/// Turns one tensor into another type.
class Quantizer {
 public:
  virtual ~Quantizer() = default;
  virtual std::string_view id() const noexcept = 0;  ///< "block"
  virtual std::string_view summary() const noexcept = 0;
  struct Scheme {
    std::string_view name;  ///< the name given to --quantize: "q4_0"
    std::string_view summary;
    Type type;  ///< what large matrices become
  };
  virtual std::span<const Scheme> schemes() const noexcept = 0;
  /// The type a tensor gets under a scheme: norms, biases and tiny tensors keep theirs.
  virtual Type target_type(std::string_view scheme, std::string_view tensor_name, Type type,
                           const Shape& shape) const noexcept = 0;
  /// Encodes whole rows: rows × columns floats into storage of target_type(). Thread-safe; the
  /// result does not depend on how rows are grouped into calls.
  virtual Status quantize_rows(std::string_view scheme, Type type, std::uint64_t columns,
                               std::span<const float> values,
                               std::span<std::byte> out) const noexcept = 0;
};

/// Describes a family of models: config -> graph.
class Architecture {
 public:
  virtual ~Architecture() = default;
  virtual std::string_view id() const noexcept = 0;  ///< "qwen2"
  virtual std::string_view summary() const noexcept = 0;
  /// True for a config.json this architecture can read (by model_type or architectures).
  virtual bool recognizes(const Json& config) const noexcept = 0;
  /// `file` names the config in errors. Unsupported fields are refused by name.
  virtual Result<Graph> build(const Json& config, const std::string& file) const noexcept = 0;
  /// Tensors that files carry and the model does not need ("…rotary_emb.inv_freq").
  virtual bool ignorable(std::string_view tensor_name) const noexcept = 0;
};

}  // namespace apr
