#include "core/formats/apr/index.h"

#include <algorithm>
#include <array>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/formats/apr/layout.h"
#include "core/formats/bytes.h"
#include "core/formats/tensor_name.h"

namespace apr {

namespace {

using namespace apr_layout;

/// A string member of metadata[key] by name; sorted once, so that a large index stays linear.
class NameTable {
 public:
  NameTable(const Json& metadata, std::string_view key) {
    for (const JsonMember& member : metadata[key].as_object()) {
      if (member.second.is_string()) rows_.push_back({member.first, member.second.as_string()});
    }
    std::ranges::sort(rows_, {}, &Row::name);
  }
  std::string_view find(std::string_view name) const {
    const auto row = std::ranges::lower_bound(rows_, name, {}, &Row::name);
    return row != rows_.end() && row->name == name ? row->value : std::string_view();
  }

 private:
  struct Row {
    std::string_view name;
    std::string_view value;
  };
  std::vector<Row> rows_;
};

class IndexReader {
 public:
  IndexReader(std::span<const std::byte> bytes, std::string_view file, AprTable& table)
      : table_(table),
        file_(file),
        reader_(bytes.subspan(
            static_cast<std::size_t>(table.header.index_offset),
            static_cast<std::size_t>(table.header.data_offset - table.header.index_offset))),
        types_(table.metadata, "tensor_types") {}

  Status run() {
    const std::uint32_t count = table_.header.tensor_count;
    if (count > kMaxTensors) {
      return fail(
          cat("the header announces ", count, " tensors; at most ", kMaxTensors, " are read"));
    }
    if (count > reader_.remaining() / kMinEntryBytes) {
      return fail(cat("the header announces ", count, " tensors and the index has room for ",
                      reader_.remaining() / kMinEntryBytes));
    }
    table_.tensors.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) APR_TRY(read_entry(i));
    table_.index_end = table_.header.index_offset + reader_.position();
    return {};
  }

 private:
  Error fail(std::string message) const {
    return make_error(ErrorCode::format, std::move(message), std::string(file_));
  }
  Error fail_tensor(std::string_view name, std::string message) const {
    return make_error(ErrorCode::format, std::move(message),
                      cat(file_, ": tensor ", printable_name(name)));
  }

  Status read_entry(std::uint32_t number) {
    const auto cut = [&] { return fail(cat("the tensor index ends within entry ", number)); };
    const auto name_size = reader_.number<std::uint16_t>();
    if (!name_size) return cut();
    if (*name_size > kMaxTensorName) {
      return fail(cat("the name of tensor ", number, " has ", *name_size, " bytes; at most ",
                      kMaxTensorName, " are legal"));
    }
    const auto name_bytes = reader_.take(*name_size);
    if (!name_bytes) return cut();
    const std::string_view name = as_text(*name_bytes);
    if (const auto problem = tensor_name_problem(name); !problem.empty()) {
      return fail(cat("the name of tensor ", number, " ", problem));
    }
    APR_TRY(check_dialect(name));
    if (!table_.tensors.empty() && name <= table_.tensors.back().name) {
      if (name == table_.tensors.back().name) return fail_tensor(name, "is in the index twice");
      return fail_tensor(name, "is out of order; the index must be sorted by name");
    }
    const auto code = reader_.number<std::uint8_t>();
    const auto rank = reader_.number<std::uint8_t>();
    if (!code || !rank) return cut();
    if (*rank > Shape::kMaxRank) {
      return fail_tensor(name, cat("has ", *rank, " dimensions; at most 8 are legal"));
    }
    std::array<std::uint64_t, Shape::kMaxRank> dims{};
    for (std::size_t i = 0; i < *rank; ++i) {
      const auto dim = reader_.number<std::uint64_t>();
      if (!dim) return cut();
      dims[i] = *dim;
    }
    const auto offset = reader_.number<std::uint64_t>();
    const auto size = reader_.number<std::uint64_t>();
    if (!offset || !size) return cut();

    AprTensor tensor;
    tensor.name = name;
    tensor.shape = *Shape::from(std::span(dims).first(*rank));
    tensor.size = *size;
    APR_ASSIGN(tensor.type, resolve_type(tensor, *code));
    const auto from_start = checked_add(table_.header.data_offset, *offset);
    if (!from_start) return fail_tensor(name, "lies beyond the end of the file");
    tensor.offset = *from_start;
    table_.tensors.push_back(std::move(tensor));
    return {};
  }

  /// Files whose names and dimensions follow GGUF would be read transposed.
  Status check_dialect(std::string_view name) const {
    if (!name.starts_with("blk.") && !name.starts_with("token_embd.")) return {};
    return make_error(ErrorCode::unsupported,
                      cat("names its tensors as GGUF does ('", printable_name(name),
                          "', dimensions innermost first); such .apr files are not read"),
                      std::string(file_), "import the model from its original checkpoint instead");
  }

  Result<Type> resolve_type(const AprTensor& tensor, std::uint8_t code) const {
    const std::vector<Type> candidates = apr_type_candidates(code);
    if (candidates.empty()) {
      return fail_tensor(tensor.name, cat("has the unknown dtype ", code));
    }
    std::vector<Type> fitting;
    for (const Type type : candidates) {
      const auto bytes = storage_bytes(type, tensor.shape);
      if (bytes && *bytes == tensor.size) fitting.push_back(type);
    }
    if (fitting.empty()) {
      const auto expected = storage_bytes(candidates.front(), tensor.shape);
      if (!expected) return fail_tensor(tensor.name, expected.error().message);
      return fail_tensor(tensor.name, cat("has ", tensor.size, " bytes; dtype ", code, " (",
                                          name_of(candidates.front()), ") and shape ",
                                          tensor.shape.to_string(), " need ", *expected));
    }
    // The metadata decides where the byte and the size leave a choice. Where it contradicts them,
    // another tool has rewritten the tensors and kept the metadata; then it says nothing.
    const auto named = type_from_name(types_.find(tensor.name));
    if (named && std::ranges::find(fitting, *named) != fitting.end()) return *named;
    return fitting.front();
  }

  AprTable& table_;
  std::string_view file_;
  ByteReader reader_;
  NameTable types_;
};

}  // namespace

std::vector<Type> apr_type_candidates(std::uint8_t code) {
  switch (code) {
    case 0:
      return {Type::f32};
    case 1:
      return {Type::f16};
    case 2:
      return {Type::q4_0};
    case 3:
      return {Type::f64, Type::q4_1};
    case 4:
      return {Type::i32};
    case 5:
      return {Type::i64};
    case 6:
      return {Type::i8, Type::q5_0};
    case 7:
      return {Type::u8, Type::q5_1};
    case 8:
      return {Type::q8_0, Type::apr_q4};
    case 9:
      return {Type::apr_q8};
    case 12:
      return {Type::q4_k};
    case 13:
      return {Type::q5_k};
    case 14:
      return {Type::q6_k};
    case 30:
      return {Type::bf16};
    case 128:
      return {Type::apr_q4};
    case 129:
      return {Type::apr_q8};
    default:
      return {};
  }
}

Status read_apr_index(std::span<const std::byte> bytes, std::string_view file, AprTable& table) {
  return IndexReader(bytes, file, table).run();
}

Status check_apr_extents(std::uint64_t file_size, std::string_view file, AprTable& table) {
  std::vector<AprTensor*> order;
  order.reserve(table.tensors.size());
  table.data_end = table.header.data_offset;
  for (AprTensor& tensor : table.tensors) {
    const auto fail = [&](std::string message) {
      return make_error(ErrorCode::format, std::move(message), cat(file, ": tensor ", tensor.name));
    };
    if (!range_fits(tensor.offset, tensor.size, file_size)) {
      Error error = fail(cat("reaches beyond the end of the file (offset ", tensor.offset,
                             ", size ", tensor.size, ", file ", file_size, " bytes)"));
      error.hint = "the file is cut short; copy it again";
      return error;
    }
    if (tensor.size == 0) continue;
    if (tensor.offset % kAlignment != 0) {
      return fail(cat("starts at byte ", tensor.offset, ", which is not a multiple of 64"));
    }
    table.data_end = std::max(table.data_end, tensor.offset + tensor.size);
    order.push_back(&tensor);
  }
  // Among equal extents the owner comes first: the one that "tensor_aliases" does not call an
  // alias, and for files without it the last by name, which is the embedding of a tied head.
  const NameTable aliases(table.metadata, "tensor_aliases");
  std::ranges::sort(order, [&](const AprTensor* a, const AprTensor* b) {
    if (a->offset != b->offset) return a->offset < b->offset;
    const bool a_alias = !aliases.find(a->name).empty();
    const bool b_alias = !aliases.find(b->name).empty();
    if (a_alias != b_alias) return b_alias;
    return a->name > b->name;
  });
  const AprTensor* owner = nullptr;
  for (AprTensor* tensor : order) {
    if (owner == nullptr || tensor->offset >= owner->offset + owner->size) {
      owner = tensor;
      continue;
    }
    const bool same = tensor->offset == owner->offset && tensor->size == owner->size &&
                      tensor->type == owner->type && tensor->shape == owner->shape;
    if (!same) {
      return make_error(ErrorCode::format, cat("its bytes overlap those of ", owner->name),
                        cat(file, ": tensor ", tensor->name));
    }
    tensor->alias_of = owner->name;
  }
  return {};
}

void append_apr_index_entry(std::vector<std::byte>& out, const AprTensor& tensor,
                            std::uint64_t offset) {
  append_number(out, static_cast<std::uint16_t>(tensor.name.size()));
  append_text(out, tensor.name);
  append_number(out, traits(tensor.type).apr_code);
  append_number(out, static_cast<std::uint8_t>(tensor.shape.rank()));
  for (const std::uint64_t dim : tensor.shape.dims()) append_number(out, dim);
  append_number(out, offset);
  append_number(out, tensor.size);
}

}  // namespace apr
