#include "core/package/package.h"

#include <algorithm>

#include "core/base/cat.h"

namespace apr {

namespace {

Status check_tensor(const TensorEntry& entry, std::span<const TensorEntry> sorted) {
  const auto fail = [&](std::string message) {
    return make_error(ErrorCode::format, std::move(message), cat("tensor ", entry.name));
  };
  APR_ASSIGN(const std::uint64_t bytes, storage_bytes(entry.view.type, entry.view.shape));
  if (entry.view.data.size() != bytes) {
    return fail(cat("has ", entry.view.data.size(), " bytes; type ", name_of(entry.view.type),
                    " and shape ", entry.view.shape.to_string(), " need ", bytes));
  }
  if (entry.alias_of.empty()) return {};
  const auto owner = std::ranges::lower_bound(sorted, entry.alias_of, {}, &TensorEntry::name);
  if (owner == sorted.end() || owner->name != entry.alias_of || !owner->alias_of.empty()) {
    return fail(cat("shares the bytes of ", entry.alias_of, ", which stores none"));
  }
  const bool same = owner->view.type == entry.view.type && owner->view.shape == entry.view.shape &&
                    owner->view.data.data() == entry.view.data.data();
  if (!same)
    return fail(cat("shares the bytes of ", entry.alias_of, " under another type or shape"));
  return {};
}

}  // namespace

Result<Package> Package::from(Parts parts) {
  std::ranges::sort(parts.tensors, {}, &TensorEntry::name);
  const auto twice = std::ranges::adjacent_find(parts.tensors, {}, &TensorEntry::name);
  if (twice != parts.tensors.end()) {
    return make_error(ErrorCode::format, cat("the tensor ", twice->name, " exists twice"),
                      parts.path);
  }
  for (const TensorEntry& entry : parts.tensors) {
    if (auto status = check_tensor(entry, parts.tensors); !status) {
      return std::move(status).error().within(parts.path);
    }
  }
  Package package;
  package.path_ = std::move(parts.path);
  package.format_ = std::move(parts.format);
  package.config_ = std::move(parts.config);
  package.metadata_ = std::move(parts.metadata);
  package.tensors_ = std::move(parts.tensors);
  package.files_ = std::move(parts.files);
  package.tokenizer_table_ = std::move(parts.tokenizer_table);
  package.lineage_ = std::move(parts.lineage);
  package.content_root_ = parts.content_root;
  package.trust_problem_ = std::move(parts.trust_problem);
  package.mappings_ = std::move(parts.mappings);
  package.owned_ = std::move(parts.owned);
  return package;
}

const TensorEntry* Package::find(std::string_view name) const {
  const auto found = std::ranges::lower_bound(tensors_, name, {}, &TensorEntry::name);
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

const std::string* Package::file(std::string_view name) const {
  const auto found = files_.find(name);
  return found != files_.end() ? &found->second : nullptr;
}

bool Package::synthetic() const {
  // safetensors' metadata has only strings.
  const Json& mark = metadata_["synthetic"];
  return mark.as_boolean() || mark.as_string() == "true";
}

std::uint64_t Package::parameter_count() const {
  std::uint64_t count = 0;
  for (const TensorEntry& entry : tensors_) {
    if (entry.alias_of.empty()) count += entry.view.shape.elements();
  }
  return count;
}

Status Package::check_unchanged() const {
  for (const auto& mapping : mappings_) APR_TRY(mapping->check_unchanged());
  return {};
}

}  // namespace apr
