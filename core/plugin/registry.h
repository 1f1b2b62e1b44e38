// Registry: the only way anyone reaches an implementation.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/plugin/interfaces.h"
#include "core/runtime/backend.h"

namespace apr {

/// Holds what plugins provide, by kind and id. Two providers of one id are an error. Safe to use
/// from many threads; what it returns lives as long as the registry. With a finder (PluginHost sets
/// one), a lookup that finds nothing loads the plugin that provides the id first, so that no plugin
/// is loaded in vain.
class APR_API Registry {
 public:
  Registry();
  ~Registry();
  Registry(Registry&&) noexcept;
  Registry& operator=(Registry&&) noexcept;

  Status add(std::unique_ptr<Importer> importer);
  Status add(std::unique_ptr<Exporter> exporter);
  Status add(std::unique_ptr<Quantizer> quantizer);
  Status add(std::unique_ptr<Backend> backend);
  Status add(std::unique_ptr<Architecture> architecture);

  // By id; the error lists the ids there are and suggests the nearest.
  Result<Importer*> importer(std::string_view id);
  Result<Exporter*> exporter(std::string_view id);
  Result<Backend*> backend(std::string_view id);
  Result<Architecture*> architecture(std::string_view id);
  /// By a scheme's name, whichever quantizer has it.
  struct SchemeChoice {
    Quantizer* quantizer;
    Quantizer::Scheme scheme;
  };
  Result<SchemeChoice> quantization(std::string_view scheme);

  /// The first importer that recognizes the source.
  Result<Importer*> importer_for(const std::string& source);
  /// The first architecture that recognizes the config.
  Result<Architecture*> architecture_for(const Json& config);

  // Everything there is (loads all plugins of the kind), sorted by id.
  std::vector<Importer*> importers();
  std::vector<Exporter*> exporters();
  std::vector<Quantizer*> quantizers();
  std::vector<Backend*> backends();
  std::vector<Architecture*> architectures();

  /// Which plugin is being registered, for lineage and listings; set by whoever calls register
  /// functions.
  void set_current_plugin(std::string name_and_version);
  /// "quantizers/block 0.1.0" for kind "quantizer" and id "block"; empty if unknown.
  std::string plugin_of(std::string_view kind, std::string_view id) const;

  /// `kind` is "importer", "exporter", "quantizer", "backend" or "architecture"; an empty id asks
  /// for all of the kind; for kind "quantizer" the id may be a scheme's name.
  using Finder = std::function<Status(Registry&, std::string_view kind, std::string_view id)>;
  void set_finder(Finder finder);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace apr
