#include "orchestrator/stages/inventory.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "core/runtime/bind.h"

namespace apr {

namespace {

/// The shape a parameter has once the graph's transforms are applied to what is stored.
Shape transformed(const Shape& stored, const std::vector<Transform>& transforms) {
  std::vector<std::uint64_t> dims(stored.dims().begin(), stored.dims().end());
  for (const Transform& transform : transforms) {
    if (transform.kind == Transform::Kind::transpose) {
      if (dims.size() == 2) std::swap(dims[0], dims[1]);
    } else if (!dims.empty() && transform.begin <= transform.end && transform.end <= dims[0]) {
      dims[0] = transform.end - transform.begin;
    }
  }
  return Shape::from(dims).value_or(stored);
}

bool is_integer(Type type) {
  return type == Type::i8 || type == Type::u8 || type == Type::i32 || type == Type::i64;
}

}  // namespace

Inventory take_inventory(const Graph& graph, const Architecture& architecture,
                         const Package& package) {
  Inventory inventory;
  std::set<std::string> wanted;
  std::set<std::string> used;
  std::set<std::string> missing;
  std::set<std::string> integers;
  std::map<std::string, Inventory::Mismatch> wrong;
  std::map<std::string, std::string> ties;
  for (const Parameter& parameter : graph.parameters()) {
    wanted.insert(parameter.tensor);
    const TensorEntry* entry = find_tensor(graph, package, parameter);
    if (entry != nullptr && find_tensor(graph, package, parameter.tensor) == nullptr) {
      ties.emplace(parameter.tensor, entry->name);
    }
    if (entry == nullptr) {
      missing.insert(parameter.tensor);
      continue;
    }
    used.insert(entry->name);
    if (is_integer(entry->view.type)) {
      integers.insert(cat(entry->name, " is ", name_of(entry->view.type)));
    }
    const Shape found = transformed(entry->view.shape, parameter.transforms);
    if (found != parameter.shape) {
      wrong.try_emplace(entry->name, Inventory::Mismatch{entry->name, found, parameter.shape});
    }
  }
  for (const TensorEntry& entry : package.tensors()) {
    if (used.contains(entry.name) || used.contains(entry.alias_of)) continue;
    auto& list = architecture.ignorable(entry.name) ? inventory.ignorable : inventory.strangers;
    list.push_back(entry.name);
  }
  inventory.wanted = wanted.size();
  inventory.missing.assign(missing.begin(), missing.end());
  inventory.integers.assign(integers.begin(), integers.end());
  for (auto& [name, mismatch] : wrong) inventory.wrong_shapes.push_back(std::move(mismatch));
  for (auto& [tensor, source] : ties) inventory.ties.push_back({tensor, source});
  return inventory;
}

std::string some_of(const std::vector<std::string>& names, std::size_t limit) {
  const std::vector<std::string> first(
      names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(limit, names.size())));
  const std::string list = join_names(first);
  return names.size() <= limit ? list : cat(list, " and ", names.size() - limit, " more");
}

Status check_inventory(const Inventory& inventory, const Package& package) {
  const auto fail = [&](std::string message, std::string hint) {
    return make_error(ErrorCode::validation, std::move(message), package.path(), std::move(hint));
  };
  if (!inventory.missing.empty()) {
    return fail(
        cat(inventory.missing.size() == 1 ? "a tensor is missing: " : "tensors are missing: ",
            some_of(inventory.missing)),
        inventory.strangers.empty()
            ? "the checkpoint is incomplete, or its config.json is another model's"
            : cat("tensors without a use: ", some_of(inventory.strangers)));
  }
  if (!inventory.wrong_shapes.empty()) {
    const Inventory::Mismatch& first = inventory.wrong_shapes.front();
    const std::size_t more = inventory.wrong_shapes.size() - 1;
    return fail(cat("tensor ", first.tensor, " has shape ", first.found.to_string(),
                    " where config.json asks for ", first.wanted.to_string(),
                    more == 0 ? "" : cat(" (and ", more, " more)")),
                "the weights do not belong to this config.json");
  }
  if (!inventory.integers.empty()) {
    return fail(cat("weights cannot be whole numbers: ", some_of(inventory.integers)),
                "save the checkpoint with F32, F16 or BF16 weights");
  }
  if (!inventory.strangers.empty()) {
    return fail(cat(inventory.strangers.size() == 1 ? "a tensor has" : "tensors have",
                    " no use in this architecture: ", some_of(inventory.strangers)),
                "the weights do not belong to this config.json, or the model is of another kind");
  }
  return {};
}

}  // namespace apr
