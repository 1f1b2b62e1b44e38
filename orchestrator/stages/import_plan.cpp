#include "orchestrator/stages/import_plan.h"

#include <algorithm>

#include "core/base/cat.h"
#include "core/runtime/bind.h"
#include "core/runtime/model.h"
#include "orchestrator/stages/open_package.h"

namespace apr {

namespace {

Result<Architecture*> choose_architecture(RunContext& context, const Package& package,
                                          const std::string& id) {
  if (id == "auto") {
    auto found = context.registry().architecture_for(package.config());
    if (!found) return std::move(found).error().within(package.path());
    return found;
  }
  APR_ASSIGN(Architecture * architecture, context.registry().architecture(id));
  if (!architecture->recognizes(package.config())) {
    return make_error(ErrorCode::load,
                      cat("architecture ", id, " does not read a config.json with the model_type '",
                          package.config()["model_type"].as_string(), "'"),
                      package.path(), "leave --arch out to let the config decide");
  }
  return architecture;
}

/// Makes the tokenizer's table, or explains why there is none.
Status add_tokenizer(const Package& package, const ImportOptions& options, ImportPlan& made) {
  if (!has_tokenizer(package)) {
    if (options.allow_no_tokenizer) return {};
    return make_error(ErrorCode::load,
                      "there is no tokenizer beside the weights (tokenizer.json, or vocab.json and "
                      "merges.txt)",
                      package.path(),
                      "put it there, or pass --allow-no-tokenizer for a model that will only be "
                      "measured on token ids");
  }
  APR_ASSIGN(const Tokenizer tokenizer, tokenizer_of(package));
  if (tokenizer.vocab_size() > made.facts.vocab_size) {
    return make_error(ErrorCode::validation,
                      cat("the tokenizer has ", tokenizer.vocab_size(),
                          " ids, but the model's vocab_size is ", made.facts.vocab_size),
                      cat(package.path(), ": tokenizer.json"),
                      "the tokenizer belongs to another model");
  }
  made.plan.tokenizer_table = tokenizer.to_binary();
  made.tokenizer = tokenizer.kind();
  return {};
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

/// A head that config.json says is tied is stored once. A file that also carries a copy (or, as
/// some do, zeros) is fine; one that carries other weights contradicts its config.
Status tie_head(const Package& package, const Graph& graph, ImportPlan& made) {
  for (const Parameter& parameter : graph.parameters()) {
    if (parameter.tied_to.empty()) continue;
    const TensorEntry* source = find_tensor(graph, package, parameter.tied_to);
    if (source == nullptr) continue;  // the inventory reports it
    const TensorEntry* own = find_tensor(graph, package, parameter.tensor);
    auto& tensors = made.plan.tensors;
    if (own != nullptr && own->alias_of.empty()) {
      const bool same = own->view.type == source->view.type &&
                        std::ranges::equal(own->view.data, source->view.data);
      if (!same && !all_zero(own->view.data)) {
        return make_error(ErrorCode::validation,
                          cat("config.json ties ", parameter.tensor, " to ", source->name,
                              ", but their weights differ"),
                          package.path(),
                          "set tie_word_embeddings to false in config.json if the head is its own");
      }
      std::erase_if(tensors, [&](const auto& t) { return t.name == own->name; });
    }
    if (own == nullptr || own->alias_of.empty()) {
      PackagePlan::PlannedTensor tied;
      tied.name = parameter.tensor;
      tied.type = source->view.type;
      tied.shape = source->view.shape;
      tied.alias_of = source->name;
      tensors.push_back(std::move(tied));
    }
  }
  std::ranges::sort(made.plan.tensors, {}, &PackagePlan::PlannedTensor::name);
  return {};
}

std::uint64_t stored_elements(const PackagePlan& plan) {
  std::uint64_t count = 0;
  for (const auto& tensor : plan.tensors) {
    if (tensor.alias_of.empty()) count += tensor.shape.elements();
  }
  return count;
}

/// The template's text, for readers that look for it in the metadata.
Status check_template(const Package& package) {
  auto parsed = chat_template_of(package);
  if (parsed || parsed.error().code == ErrorCode::load) return {};  // load: there is none
  return std::move(parsed).error();
}

}  // namespace

Result<ImportPlan> plan_import(RunContext& context, std::shared_ptr<const Package> package,
                               const ImportOptions& options) {
  ImportPlan made;
  APR_ASSIGN(const Architecture* architecture,
             choose_architecture(context, *package, options.arch));
  auto graph = architecture->build(package->config(), "config.json");
  if (!graph) return std::move(graph).error().within(package->path());
  made.facts = graph->facts();
  made.architecture = architecture->id();
  made.inventory = take_inventory(*graph, *architecture, *package);
  APR_TRY(check_inventory(made.inventory, *package));

  made.plan = plan_copy(*package);
  std::erase_if(made.plan.tensors, [&](const auto& tensor) {
    return std::ranges::find(made.inventory.ignorable, tensor.name) !=
           made.inventory.ignorable.end();
  });
  APR_TRY(tie_head(*package, *graph, made));
  APR_TRY(add_tokenizer(*package, options, made));
  APR_TRY(check_template(*package));
  APR_TRY(read_generation_config(*package));

  const std::string name = options.name.empty() ? model_name(*package) : options.name;
  made.plan.metadata =
      metadata_from_config(package->config(), name, package->format(), stored_elements(made.plan));
  if (package->synthetic()) made.plan.metadata.set("synthetic", true);
  if (made.facts.tied_head) made.plan.metadata.set("tied_embeddings", true);

  const std::string plugin = context.registry().plugin_of("importer", package->format());
  for (LineageRecord& record : made.plan.lineage) {
    if (record.tool.empty()) record.tool = "apr " APR_VERSION;
    if (record.plugin.empty() && record.stage == "import") record.plugin = plugin;
  }
  if (!made.plan.lineage.empty()) {
    made.plan.lineage.back().parameters.set("architecture", made.architecture);
    made.plan.lineage.back().parameters.set("name", name);
  }
  return made;
}

}  // namespace apr
