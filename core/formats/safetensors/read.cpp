#include <algorithm>
#include <array>
#include <optional>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/formats/bytes.h"
#include "core/formats/safetensors/safetensors.h"
#include "core/formats/tensor_name.h"

namespace apr {

namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr std::size_t kMaxTensors = 1u << 18;

struct Dtype {
  std::string_view name;
  Type type;
};
// BOOL is a byte that is 0 or 1; masks are stored that way.
constexpr std::array kDtypes = {
    Dtype{"F64", Type::f64},   Dtype{"F32", Type::f32}, Dtype{"F16", Type::f16},
    Dtype{"BF16", Type::bf16}, Dtype{"I64", Type::i64}, Dtype{"I32", Type::i32},
    Dtype{"I8", Type::i8},     Dtype{"U8", Type::u8},   Dtype{"BOOL", Type::u8},
};

class HeaderReader {
 public:
  HeaderReader(std::uint64_t data_offset, std::uint64_t file_size, std::string_view file)
      : data_offset_(data_offset), data_size_(file_size - data_offset), file_(file) {}

  Result<SafetensorsTable> run(const Json& header) {
    const JsonObject& members = header.as_object();
    if (members.size() > kMaxTensors + 1) {
      return fail(
          cat("describes ", members.size(), " tensors; at most ", kMaxTensors, " are read"));
    }
    table_.tensors.reserve(members.size());
    for (const auto& [name, value] : members) {
      if (name == "__metadata__") {
        APR_TRY(read_metadata(value));
      } else {
        APR_TRY(read_tensor(name, value));
      }
    }
    APR_TRY(check_layout());
    std::ranges::sort(table_.tensors, {}, &SafetensorsTensor::name);
    return std::move(table_);
  }

 private:
  Error fail(std::string message) const {
    return make_error(ErrorCode::format, std::move(message), std::string(file_));
  }
  Error fail_tensor(std::string_view name, std::string message) const {
    return make_error(ErrorCode::format, std::move(message),
                      cat(file_, ": tensor ", printable_name(name)));
  }

  Status read_metadata(const Json& value) {
    if (!value.is_object()) return fail("its __metadata__ is not an object");
    for (const auto& [key, text] : value.as_object()) {
      if (!text.is_string()) {
        return fail(cat("__metadata__ \"", printable_name(key), "\" is not a string"));
      }
    }
    table_.metadata = value;
    return {};
  }

  Status read_tensor(const std::string& name, const Json& value) {
    if (const auto problem = tensor_name_problem(name); !problem.empty()) {
      return fail_tensor(name, cat("its name ", problem));
    }
    if (!value.is_object()) return fail_tensor(name, "is not described by an object");
    for (const auto& [key, member] : value.as_object()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        return fail_tensor(name, cat("has the unknown member \"", printable_name(key), "\""));
      }
    }
    SafetensorsTensor tensor;
    tensor.name = name;
    APR_ASSIGN(tensor.type, read_dtype(name, value["dtype"]));
    APR_ASSIGN(tensor.shape, read_shape(name, value["shape"]));
    const Json& offsets = value["data_offsets"];
    if (offsets.as_array().size() != 2) {
      return fail_tensor(name, "its data_offsets are not two numbers");
    }
    const auto begin = size_value(offsets.as_array()[0]);
    const auto end = size_value(offsets.as_array()[1]);
    if (!begin || !end || *begin > *end) {
      return fail_tensor(name, "its data_offsets are not two sizes in ascending order");
    }
    if (*end > data_size_) {
      Error error =
          fail_tensor(name, cat("ends at byte ", *end, " of the data, which has ", data_size_));
      error.hint = "the file is cut short; copy it again";
      return error;
    }
    tensor.size = *end - *begin;
    tensor.offset = data_offset_ + *begin;
    const auto needed = storage_bytes(tensor.type, tensor.shape);
    if (!needed) return fail_tensor(name, needed.error().message);
    if (*needed != tensor.size) {
      return fail_tensor(name, cat("has ", tensor.size, " bytes; ", value["dtype"].as_string(),
                                   " of shape ", tensor.shape.to_string(), " needs ", *needed));
    }
    table_.tensors.push_back(std::move(tensor));
    return {};
  }

  Result<Type> read_dtype(std::string_view name, const Json& dtype) const {
    if (!dtype.is_string()) return fail_tensor(name, "has no dtype");
    const auto found = std::ranges::find(kDtypes, dtype.as_string(), &Dtype::name);
    if (found != kDtypes.end()) return found->type;
    Error error = fail_tensor(name, cat("has dtype ", printable_name(dtype.as_string()),
                                        ", which this build does not read"));
    error.code = ErrorCode::unsupported;
    error.hint = "save the checkpoint with F32, F16 or BF16 weights";
    return error;
  }

  Result<Shape> read_shape(std::string_view name, const Json& shape) const {
    if (!shape.is_array()) return fail_tensor(name, "has no shape");
    const JsonArray& elements = shape.as_array();
    if (elements.size() > Shape::kMaxRank) {
      return fail_tensor(name, cat("has ", elements.size(), " dimensions; at most 8 are read"));
    }
    std::vector<std::uint64_t> dims;
    for (const Json& element : elements) {
      const auto dim = size_value(element);
      if (!dim) return fail_tensor(name, "has a dimension that is not a size");
      dims.push_back(*dim);
    }
    return *Shape::from(dims);
  }

  static std::optional<std::uint64_t> size_value(const Json& json) {
    if (!json.is_integer() || json.as_integer() < 0) return std::nullopt;
    return static_cast<std::uint64_t>(json.as_integer());
  }

  /// In file order every tensor begins where the one before ended, and the last one ends the file.
  Status check_layout() const {
    std::vector<const SafetensorsTensor*> order;
    order.reserve(table_.tensors.size());
    for (const SafetensorsTensor& tensor : table_.tensors) order.push_back(&tensor);
    std::ranges::sort(order, [](const SafetensorsTensor* a, const SafetensorsTensor* b) {
      return a->offset != b->offset ? a->offset < b->offset : a->size < b->size;
    });
    std::uint64_t reached = data_offset_;
    for (const SafetensorsTensor* tensor : order) {
      if (tensor->offset < reached)
        return fail_tensor(tensor->name, "overlaps the tensor before it");
      if (tensor->offset > reached) {
        return fail_tensor(tensor->name, cat("leaves a hole of ", tensor->offset - reached,
                                             " bytes before it, which the format forbids"));
      }
      reached += tensor->size;
    }
    const std::uint64_t left = data_offset_ + data_size_ - reached;
    if (left > 0) return fail(cat("has ", left, " bytes after its last tensor"));
    return {};
  }

  std::uint64_t data_offset_;
  std::uint64_t data_size_;
  std::string_view file_;
  SafetensorsTable table_;
};

}  // namespace

Result<SafetensorsTable> read_safetensors_table(std::span<const std::byte> bytes,
                                                std::string_view file) {
  const auto fail = [&](std::string message, std::string hint = {}) {
    return make_error(ErrorCode::format, std::move(message), std::string(file), std::move(hint));
  };
  if (bytes.empty()) return fail("is empty");
  if (bytes.size() < kLengthBytes) return fail("is too short for a safetensors file");
  const auto header_size = load_number<std::uint64_t>(bytes, 0);
  if (as_text(bytes).starts_with("version https://git-lfs")) {
    return fail("is a Git LFS pointer, not the weights themselves",
                "fetch them with `git lfs pull`");
  }
  if (header_size > kMaxHeader) {
    return fail(
        cat("is not a safetensors file (it would have a header of ", header_size, " bytes)"));
  }
  if (header_size > bytes.size() - kLengthBytes) {
    return fail(
        cat("announces a header of ", header_size, " bytes and has ", bytes.size() - kLengthBytes),
        "the file is cut short or is not safetensors");
  }
  const std::string_view text =
      as_text(bytes.subspan(kLengthBytes, static_cast<std::size_t>(header_size)));
  if (!text.starts_with('{')) return fail("is not a safetensors file (its header is not JSON)");
  JsonLimits limits;
  limits.max_bytes = kMaxHeader;
  limits.max_depth = 4;
  limits.max_values = 4'000'000;
  APR_ASSIGN(const Json header, parse_json(text, cat(file, ": header"), limits));
  return HeaderReader(kLengthBytes + header_size, bytes.size(), file).run(header);
}

std::string_view safetensors_dtype(Type type) {
  const auto found = std::ranges::find(kDtypes, type, &Dtype::type);
  return found != kDtypes.end() ? found->name : std::string_view();
}

}  // namespace apr
