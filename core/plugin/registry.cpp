#include "core/plugin/registry.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "core/platform/lock.h"

namespace apr {

namespace {

/// Implementations of one kind, by id.
template <typename Interface>
struct Shelf {
  std::string_view kind;
  std::map<std::string, std::unique_ptr<Interface>, std::less<>> items;

  std::vector<Interface*> all() const {
    std::vector<Interface*> list;
    for (const auto& [id, item] : items) list.push_back(item.get());
    return list;
  }
  std::vector<std::string> ids() const {
    std::vector<std::string> list;
    for (const auto& [id, item] : items) list.push_back(id);
    return list;
  }
};

Error unknown_name(std::string_view what, std::string_view name,
                   std::span<const std::string> known) {
  Error error = make_error(ErrorCode::not_found, cat("there is no ", what, " '", name, "'"));
  const std::string near = nearest_name(name, known);
  if (!near.empty()) {
    error.hint = cat("did you mean '", near, "'?");
  } else if (known.empty()) {
    error.hint = "no plugin provides one; see `apr plugins list`";
  } else {
    error.hint = cat("there are: ", join_names(known));
  }
  return error;
}

}  // namespace

struct Registry::State {
  Shelf<Importer> importers{"importer", {}};
  Shelf<Exporter> exporters{"exporter", {}};
  Shelf<Quantizer> quantizers{"quantizer", {}};
  Shelf<Backend> backends{"backend", {}};
  Shelf<Architecture> architectures{"architecture", {}};
  std::map<std::pair<std::string, std::string>, std::string>
      plugins;  ///< (kind, id) -> name version
  std::string current_plugin;
  Finder finder;
  RecursiveLock lock;  ///< taken by every public call; finders add while it is held

  template <typename Interface>
  Status add(Shelf<Interface>& shelf, std::unique_ptr<Interface> item) {
    std::string id(item->id());
    if (shelf.items.contains(id)) {
      return make_error(ErrorCode::load,
                        cat("two plugins provide the ", shelf.kind, " '", id,
                            "': ", plugins[{std::string(shelf.kind), id}], " and ", current_plugin),
                        {}, "remove one of them from the plugin search path");
    }
    plugins[{std::string(shelf.kind), id}] = current_plugin;
    shelf.items.emplace(std::move(id), std::move(item));
    return {};
  }

  template <typename Interface>
  std::vector<Interface*> all(Registry& registry, Shelf<Interface>& shelf) {
    // A plugin that cannot be loaded must not hide the others; lookups by id report the reason.
    if (finder) static_cast<void>(finder(registry, shelf.kind, {}).ok());
    return shelf.all();
  }

  template <typename Interface>
  Result<Interface*> get(Registry& registry, Shelf<Interface>& shelf, std::string_view id) {
    if (auto found = shelf.items.find(id); found != shelf.items.end()) return found->second.get();
    if (finder) {
      APR_TRY(finder(registry, shelf.kind, id));
      if (auto found = shelf.items.find(id); found != shelf.items.end()) return found->second.get();
      all(registry, shelf);
    }
    return unknown_name(shelf.kind, id, shelf.ids());
  }

  std::optional<SchemeChoice> find_scheme(std::string_view scheme) const {
    for (const auto& [id, quantizer] : quantizers.items) {
      for (const Quantizer::Scheme& candidate : quantizer->schemes()) {
        if (candidate.name == scheme) return SchemeChoice{quantizer.get(), candidate};
      }
    }
    return std::nullopt;
  }
};

Registry::Registry() : state_(std::make_unique<State>()) {}
Registry::~Registry() = default;
Registry::Registry(Registry&&) noexcept = default;
Registry& Registry::operator=(Registry&&) noexcept = default;

Status Registry::add(std::unique_ptr<Importer> importer) {
  const Locked locked(state_->lock);
  return state_->add(state_->importers, std::move(importer));
}
Status Registry::add(std::unique_ptr<Exporter> exporter) {
  const Locked locked(state_->lock);
  return state_->add(state_->exporters, std::move(exporter));
}
Status Registry::add(std::unique_ptr<Backend> backend) {
  const Locked locked(state_->lock);
  return state_->add(state_->backends, std::move(backend));
}
Status Registry::add(std::unique_ptr<Architecture> architecture) {
  const Locked locked(state_->lock);
  return state_->add(state_->architectures, std::move(architecture));
}

Status Registry::add(std::unique_ptr<Quantizer> quantizer) {
  const Locked locked(state_->lock);
  for (const Quantizer::Scheme& scheme : quantizer->schemes()) {
    if (const auto taken = state_->find_scheme(scheme.name)) {
      return make_error(ErrorCode::load,
                        cat("two quantizers provide the scheme '", scheme.name, "': '",
                            taken->quantizer->id(), "' and '", quantizer->id(), "'"),
                        {}, "remove one of them from the plugin search path");
    }
  }
  return state_->add(state_->quantizers, std::move(quantizer));
}

Result<Importer*> Registry::importer(std::string_view id) {
  const Locked locked(state_->lock);
  return state_->get(*this, state_->importers, id);
}
Result<Exporter*> Registry::exporter(std::string_view id) {
  const Locked locked(state_->lock);
  return state_->get(*this, state_->exporters, id);
}
Result<Backend*> Registry::backend(std::string_view id) {
  const Locked locked(state_->lock);
  return state_->get(*this, state_->backends, id);
}
Result<Architecture*> Registry::architecture(std::string_view id) {
  const Locked locked(state_->lock);
  return state_->get(*this, state_->architectures, id);
}

Result<Registry::SchemeChoice> Registry::quantization(std::string_view scheme) {
  const Locked locked(state_->lock);
  if (const auto found = state_->find_scheme(scheme)) return *found;
  if (state_->finder) {
    APR_TRY(state_->finder(*this, "quantizer", scheme));
    if (const auto found = state_->find_scheme(scheme)) return *found;
  }
  std::vector<std::string> names;
  for (const Quantizer* quantizer : quantizers()) {
    for (const Quantizer::Scheme& known : quantizer->schemes()) names.emplace_back(known.name);
  }
  return unknown_name("quantization scheme", scheme, names);
}

Result<Importer*> Registry::importer_for(const std::string& source) {
  const Locked locked(state_->lock);
  for (Importer* importer : importers()) {
    if (importer->recognizes(source)) return importer;
  }
  if (source.ends_with(".apr")) {
    return make_error(ErrorCode::format, "does not begin as an .apr file does", source,
                      "it is something else under that name, or damaged; copy it again");
  }
  const std::vector<std::string> known = state_->importers.ids();
  return make_error(known.empty() ? ErrorCode::unsupported : ErrorCode::format,
                    "is no model that any importer recognizes", source,
                    known.empty() ? "no importer plugin was found; see `apr plugins list`"
                                  : cat("importers there are: ", join_names(known)));
}

Result<Architecture*> Registry::architecture_for(const Json& config) {
  const Locked locked(state_->lock);
  // Most architectures are called what the config calls them: try that one before loading all.
  const std::string& type = config["model_type"].as_string();
  if (!type.empty()) {
    if (auto named = state_->get(*this, state_->architectures, type);
        named && (*named)->recognizes(config)) {
      return named;
    }
  }
  for (Architecture* architecture : architectures()) {
    if (architecture->recognizes(config)) return architecture;
  }
  const std::vector<std::string> known = state_->architectures.ids();
  return make_error(ErrorCode::unsupported,
                    type.empty() ? std::string("config.json does not say a model_type")
                                 : cat("no plugin knows the model_type '", type, "'"),
                    {}, cat("architectures: ", known.empty() ? "none found" : join_names(known)));
}

std::vector<Importer*> Registry::importers() {
  const Locked locked(state_->lock);
  return state_->all(*this, state_->importers);
}
std::vector<Exporter*> Registry::exporters() {
  const Locked locked(state_->lock);
  return state_->all(*this, state_->exporters);
}
std::vector<Quantizer*> Registry::quantizers() {
  const Locked locked(state_->lock);
  return state_->all(*this, state_->quantizers);
}
std::vector<Backend*> Registry::backends() {
  const Locked locked(state_->lock);
  return state_->all(*this, state_->backends);
}
std::vector<Architecture*> Registry::architectures() {
  const Locked locked(state_->lock);
  return state_->all(*this, state_->architectures);
}

void Registry::set_current_plugin(std::string name_and_version) {
  state_->current_plugin = std::move(name_and_version);
}

std::string Registry::plugin_of(std::string_view kind, std::string_view id) const {
  const Locked locked(state_->lock);
  const auto found = state_->plugins.find({std::string(kind), std::string(id)});
  return found == state_->plugins.end() ? std::string() : found->second;
}

void Registry::set_finder(Finder finder) {
  state_->finder = std::move(finder);
}

}  // namespace apr
