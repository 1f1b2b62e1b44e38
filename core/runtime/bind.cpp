#include "core/runtime/bind.h"

#include <cstring>
#include <optional>
#include <utility>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/base/suggest.h"
#include "core/tensor/codec.h"

namespace apr {

namespace {

Error missing(const Package& package, const Parameter& parameter) {
  std::vector<std::string> names;
  const std::size_t size = parameter.tensor.size();
  for (const TensorEntry& entry : package.tensors()) {
    const std::size_t other = entry.name.size();
    if ((other > size ? other - size : size - other) <= size / 3) names.push_back(entry.name);
  }
  std::string message = cat("tensor ", parameter.tensor, " is missing");
  if (!parameter.tied_to.empty())
    message += cat(", and so is ", parameter.tied_to, " it could be tied to");
  const std::string near = nearest_name(parameter.tensor, names);
  std::string hint = near.empty() ? std::string(
                                        "the checkpoint is incomplete, or its config.json belongs "
                                        "to another model")
                                  : cat("the nearest name there is ", near);
  return make_error(ErrorCode::load, std::move(message), package.path(), std::move(hint));
}

Error misfit(const Package& package, const Parameter& parameter, const TensorEntry& entry,
             std::string problem) {
  return make_error(
      ErrorCode::load, std::move(problem), cat(package.path(), ": tensor ", entry.name),
      parameter.tensor == entry.name ? std::string("the weights do not belong to this config.json")
                                     : cat("it stands in for the missing ", parameter.tensor));
}

/// Rows [begin, end) of the first dimension, as a view.
std::optional<TensorView> slice(const TensorView& view, std::uint64_t begin, std::uint64_t end) {
  const RowRule rule = traits(view.type).rule;
  if (view.shape.rank() == 0 || begin > end || end > view.shape[0]) return std::nullopt;
  if (rule != RowRule::element && !(rule == RowRule::padded && view.shape.rank() > 1)) {
    return std::nullopt;  // the bytes of a row do not stand alone
  }
  std::vector<std::uint64_t> dims(view.shape.dims().begin(), view.shape.dims().end());
  if (dims[0] == 0) return std::nullopt;
  const std::uint64_t stride = view.data.size() / dims[0];
  dims[0] = end - begin;
  TensorView part = view;
  part.shape = *Shape::from(dims);
  part.data = view.data.subspan(static_cast<std::size_t>(begin * stride),
                                static_cast<std::size_t>((end - begin) * stride));
  return part;
}

/// A transposed copy; plain types keep their type, block types become float32.
Result<std::shared_ptr<const Tensor>> transpose(const TensorView& view) {
  const std::uint64_t rows = view.shape[0];
  const std::uint64_t columns = view.shape[1];
  auto copy = std::make_shared<Tensor>();
  copy->shape = Shape{columns, rows};
  const bool plain = traits(view.type).rule == RowRule::element;
  copy->type = plain ? view.type : Type::f32;
  APR_ASSIGN(const std::uint64_t bytes, storage_bytes(copy->type, copy->shape));
  copy->data.resize(static_cast<std::size_t>(bytes));
  const std::size_t width = traits(copy->type).block_bytes;
  std::vector<float> decoded(plain ? 0 : static_cast<std::size_t>(columns));
  for (std::uint64_t row = 0; row < rows; ++row) {
    const std::byte* from = view.data.data() + row * columns * width;
    if (!plain) {
      APR_TRY(decode_row(view, row, decoded));
      from = reinterpret_cast<const std::byte*>(decoded.data());
    }
    for (std::uint64_t column = 0; column < columns; ++column) {
      std::memcpy(copy->data.data() + (column * rows + row) * width, from + column * width, width);
    }
  }
  return std::shared_ptr<const Tensor>(std::move(copy));
}

/// Transposed copies, by what they were made of: a fused matrix is turned once for all its slices.
class Transposes {
 public:
  explicit Transposes(BoundParameters& bound) : bound_(bound) {}

  Result<TensorView> of(const TensorView& view) {
    for (const auto& [source, copy] : made_) {
      if (source.data.data() == view.data.data() && source.shape == view.shape &&
          source.type == view.type) {
        return copy;
      }
    }
    APR_ASSIGN(auto copy, transpose(view));
    made_.emplace_back(view, copy->view());
    bound_.owned.push_back(std::move(copy));
    return made_.back().second;
  }

 private:
  BoundParameters& bound_;
  std::vector<std::pair<TensorView, TensorView>> made_;
};

}  // namespace

const TensorEntry* find_tensor(const Graph& graph, const Package& package, std::string_view name) {
  if (const TensorEntry* entry = package.find(name)) return entry;
  const std::string& prefix = graph.base_prefix();
  if (!prefix.empty() && name.starts_with(prefix)) {
    if (const TensorEntry* entry = package.find(name.substr(prefix.size()))) return entry;
  }
  for (const TensorRename& rename : graph.renames()) {
    if (!name.ends_with(rename.ending)) continue;
    const std::string old =
        cat(name.substr(0, name.size() - rename.ending.size()), rename.old_ending);
    if (const TensorEntry* entry = package.find(old)) return entry;
    if (prefix.empty() || !old.starts_with(prefix)) continue;
    if (const TensorEntry* entry = package.find(old.substr(prefix.size()))) return entry;
  }
  return nullptr;
}

const TensorEntry* find_tensor(const Graph& graph, const Package& package,
                               const Parameter& parameter) {
  const TensorEntry* entry = find_tensor(graph, package, parameter.tensor);
  if (entry == nullptr && !parameter.tied_to.empty()) {
    entry = find_tensor(graph, package, parameter.tied_to);
  }
  return entry;
}

Result<BoundParameters> bind_parameters(const Graph& graph, const Package& package) {
  BoundParameters bound;
  Transposes transposes(bound);
  for (const Parameter& parameter : graph.parameters()) {
    const TensorEntry* entry = find_tensor(graph, package, parameter);
    if (entry == nullptr) return missing(package, parameter);
    if (!can_decode(entry->view.type)) {
      return make_error(
          ErrorCode::unsupported,
          cat("elements of type ", name_of(entry->view.type), " cannot be computed with"),
          cat(package.path(), ": tensor ", entry->name));
    }
    TensorView view = entry->view;
    for (const Transform& transform : parameter.transforms) {
      if (transform.kind == Transform::Kind::slice) {
        const auto part = slice(view, transform.begin, transform.end);
        if (!part) {
          return misfit(
              package, parameter, *entry,
              cat("rows ", transform.begin, " to ", transform.end, " cannot be taken out of type ",
                  name_of(view.type), " and shape ", view.shape.to_string()));
        }
        view = *part;
      } else {
        if (view.shape.rank() != 2) {
          return misfit(package, parameter, *entry,
                        cat("shape ", view.shape.to_string(), " is not a matrix to transpose"));
        }
        APR_ASSIGN(view, transposes.of(view));
      }
    }
    if (view.shape != parameter.shape) {
      return misfit(package, parameter, *entry,
                    cat("shape ", entry->view.shape.to_string(), " is not the ",
                        parameter.transforms.empty() ? "" : "(after its transforms) ",
                        parameter.shape.to_string(), " that the config asks for"));
    }
    bound.views.push_back(view);
  }
  return bound;
}

}  // namespace apr
