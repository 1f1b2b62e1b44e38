// Storing a package's tensors in other types.
//
// A tensor is taken in batches of rows that fit a small buffer; the rows of a batch are decoded to
// float32 and encoded again in pieces on all threads, and the batch is handed to the writer before
// the next one is begun. Which rows make a piece depends on the shape alone, and a piece's bytes on
// its rows alone, so the file is the same for any number of threads, and memory stays far below the
// model's size.
#include "orchestrator/stages/requantize.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/cat.h"
#include "core/tensor/codec.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/parallel.h"

namespace apr {

namespace {

constexpr std::uint64_t kPieceElements = 64 * 1024;
constexpr std::uint64_t kPiecesPerBatch = 32;

struct Encoder {
  const Quantizer* quantizer;
  std::string scheme;
  unsigned threads;
};

/// Rows [begin, end) of a tensor from their stored form to the new one.
Status encode_rows(const Encoder& encoder, const TensorEntry& entry, Type type, std::uint64_t begin,
                   std::uint64_t end, std::span<std::byte> out) {
  const std::uint64_t columns = entry.view.shape.columns();
  std::vector<float> values(static_cast<std::size_t>((end - begin) * columns));
  for (std::uint64_t row = begin; row < end; ++row) {
    const std::span<float> place(values.data() + (row - begin) * columns, columns);
    APR_TRY(decode_row(entry.view, row, place));
  }
  Status status = encoder.quantizer->quantize_rows(encoder.scheme, type, columns, values, out);
  if (status || begin == 0) return status;
  return std::move(status).error().within(cat("counting from row ", begin));
}

/// Types whose rows do not stand alone are encoded in one piece.
bool rows_stand_alone(Type type, std::uint64_t columns) {
  const TypeTraits& properties = traits(type);
  if (properties.rule == RowRule::tensor) return false;
  return properties.rule != RowRule::flat || columns % properties.block_elements == 0;
}

using Sink = std::function<Status(std::span<const std::byte>)>;

Status encode_tensor(const Encoder& encoder, const TensorEntry& entry, Type type,
                     const Sink& sink) {
  const Shape& shape = entry.view.shape;
  const std::uint64_t rows = shape.rows();
  const std::uint64_t columns = shape.columns();
  if (shape.elements() == 0) return {};
  if (!rows_stand_alone(type, columns)) {
    APR_ASSIGN(const std::uint64_t bytes, storage_bytes(type, shape));
    std::vector<std::byte> out(static_cast<std::size_t>(bytes));
    APR_TRY(encode_rows(encoder, entry, type, 0, rows, out));
    return sink(out);
  }
  const std::uint64_t stride =
      traits(type).rule == RowRule::flat
          ? columns / traits(type).block_elements * traits(type).block_bytes
          : row_bytes(type, columns);
  const std::uint64_t piece = std::max<std::uint64_t>(1, kPieceElements / columns);
  const std::uint64_t batch = piece * kPiecesPerBatch;
  std::vector<std::byte> out;
  for (std::uint64_t begin = 0; begin < rows; begin += batch) {
    APR_TRY(check_interrupted());
    const std::uint64_t end = std::min(rows, begin + batch);
    out.resize(static_cast<std::size_t>((end - begin) * stride));
    const auto pieces = static_cast<std::size_t>((end - begin + piece - 1) / piece);
    APR_TRY(parallel_pieces(encoder.threads, pieces, [&](std::size_t i) {
      const std::uint64_t first = begin + i * piece;
      const std::uint64_t last = std::min(end, first + piece);
      const std::span<std::byte> place(out.data() + (first - begin) * stride,
                                       static_cast<std::size_t>((last - first) * stride));
      return encode_rows(encoder, entry, type, first, last, place);
    }));
    APR_TRY(sink(out));
  }
  return {};
}

int bits_of(Type type) {
  switch (type) {
    case Type::f64:
    case Type::i64:
      return 64;
    case Type::f32:
    case Type::i32:
      return 32;
    case Type::f16:
    case Type::bf16:
      return 16;
    case Type::i8:
    case Type::u8:
    case Type::q8_0:
    case Type::apr_q8:
      return 8;
    case Type::q6_k:
      return 6;
    case Type::q5_0:
    case Type::q5_1:
    case Type::q5_k:
      return 5;
    case Type::q4_0:
    case Type::q4_1:
    case Type::q4_k:
    case Type::apr_q4:
      return 4;
  }
  return 0;
}

bool is_symmetric(Type type) {
  return type == Type::q4_0 || type == Type::q5_0 || type == Type::q8_0 || type == Type::q6_k ||
         type == Type::apr_q4 || type == Type::apr_q8;
}

Json quantization_metadata(Type type) {
  return Json::object({{"quant_type", name_of(type)},
                       {"bits", bits_of(type)},
                       {"block_size", traits(type).block_elements},
                       {"symmetric", is_symmetric(type)}});
}

/// Refuses to quantize what is already quantized to something else: errors would add up unseen.
Status check_not_quantized(const Package& package, const Quantizer::Scheme& scheme) {
  if (!traits(scheme.type).quantized) return {};
  for (const TensorEntry& entry : package.tensors()) {
    const Type type = entry.view.type;
    if (!traits(type).quantized || type == scheme.type) continue;
    return make_error(
        ErrorCode::validation,
        cat("is already quantized: tensor ", entry.name, " is ", name_of(type), ", and making it ",
            name_of(scheme.type), " would add its errors to those already made"),
        package.path(), "quantize the model it was made from (`apr inspect` shows its lineage)");
  }
  return {};
}

}  // namespace

TypeTable types_of(const Package& package) {
  TypeTable table;
  for (const TensorEntry& entry : package.tensors()) {
    if (!entry.alias_of.empty()) continue;
    TypeUse& use = table[std::string(name_of(entry.view.type))];
    ++use.tensors;
    use.elements += entry.view.shape.elements();
    use.bytes += entry.view.data.size();
  }
  return table;
}

TypeTable types_of(const PackagePlan& plan) {
  TypeTable table;
  for (const PackagePlan::PlannedTensor& tensor : plan.tensors) {
    if (!tensor.alias_of.empty()) continue;
    TypeUse& use = table[std::string(name_of(tensor.type))];
    ++use.tensors;
    use.elements += tensor.shape.elements();
    if (const auto bytes = storage_bytes(tensor.type, tensor.shape)) use.bytes += *bytes;
  }
  return table;
}

Json types_as_json(const TypeTable& table) {
  Json list = Json::array();
  for (const auto& [name, use] : table) {
    list.push_back(Json::object({{"type", name},
                                 {"tensors", use.tensors},
                                 {"parameters", use.elements},
                                 {"bytes", use.bytes}}));
  }
  return list;
}

std::uint64_t total_bytes(const TypeTable& table) {
  std::uint64_t bytes = 0;
  for (const auto& [name, use] : table) bytes += use.bytes;
  return bytes;
}

Result<SchemeUse> quantize_plan(RunContext& context, std::shared_ptr<const Package> package,
                                const std::string& scheme, PackagePlan& plan) {
  APR_ASSIGN(const Registry::SchemeChoice choice, context.registry().quantization(scheme));
  APR_TRY(check_not_quantized(*package, choice.scheme));
  SchemeUse use;
  use.name = scheme;
  use.type = choice.scheme.type;
  use.plugin = context.registry().plugin_of("quantizer", choice.quantizer->id());
  const Encoder encoder{choice.quantizer, scheme, context.threads};

  std::map<std::string, Type> types;
  for (PackagePlan::PlannedTensor& tensor : plan.tensors) {
    if (!tensor.alias_of.empty()) continue;
    const TensorEntry* entry = package->find(tensor.name);
    if (entry == nullptr) continue;
    const Type type =
        choice.quantizer->target_type(scheme, tensor.name, entry->view.type, entry->view.shape);
    types.emplace(tensor.name, type);
    if (type == entry->view.type) {
      ++use.kept;
      continue;
    }
    ++use.changed;
    if (!can_decode(entry->view.type)) {
      return make_error(ErrorCode::unsupported,
                        cat("elements of type ", name_of(entry->view.type), " cannot be decoded"),
                        cat(package->path(), ": tensor ", entry->name));
    }
    tensor.type = type;
    tensor.produce = [encoder, package, entry, type](const Sink& sink) -> Status {
      Status status = encode_tensor(encoder, *entry, type, sink);
      if (status) return {};
      return std::move(status).error().within(cat(package->path(), ": tensor ", entry->name));
    };
  }
  for (PackagePlan::PlannedTensor& tensor : plan.tensors) {
    const auto source = types.find(tensor.alias_of);
    if (source != types.end()) tensor.type = source->second;
  }
  if (traits(use.type).quantized) {
    plan.metadata.set("quantization", quantization_metadata(use.type));
  } else {
    plan.metadata.erase("quantization");
  }
  return use;
}

Status add_lineage(PackagePlan& plan, const Package& package, std::string stage, std::string plugin,
                   Json parameters) {
  LineageRecord record;
  record.stage = std::move(stage);
  record.tool = "apr " APR_VERSION;
  record.plugin = std::move(plugin);
  record.parameters = std::move(parameters);
  if (package.content_root()) {
    record.inputs.push_back({model_name(package), *package.content_root()});
  } else if (package.format() == "apr") {  // a file without a trust section is known by its bytes
    APR_ASSIGN(const auto mapping, FileMapping::open(package.path()));
    record.inputs.push_back({model_name(package), sha256(mapping->bytes())});
  }
  plan.lineage.push_back(std::move(record));
  return {};
}

Result<WrittenPackage> write_plan(RunContext& context, const Package& package,
                                  const std::string& output, bool overwrite, PackagePlan plan) {
  const std::uint64_t total = total_bytes(types_of(plan));
  for (PackagePlan::PlannedTensor& tensor : plan.tensors) {
    if (!tensor.alias_of.empty()) continue;
    // Checked after every tensor, so also after the last one and before the file gets its name.
    tensor.produce = [produce = std::move(tensor.produce), &package](const Sink& sink) -> Status {
      APR_TRY(check_interrupted());
      APR_TRY(produce(sink));
      APR_TRY(check_interrupted());
      return package.check_unchanged();
    };
  }
  const std::string what = cat("writing ", base_name(output));
  auto written = write_apr(output, plan, overwrite,
                           [&](std::uint64_t done) { context.progress.update(what, done, total); });
  context.progress.finish();
  return written;
}

}  // namespace apr
