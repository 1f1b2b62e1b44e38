// Writing a golden trace: golden.json and golden.safetensors.
#include <algorithm>

#include "core/base/hash.h"
#include "core/formats/safetensors/safetensors.h"
#include "orchestrator/stages/golden_trace.h"

namespace apr {

namespace {

constexpr std::string_view kJsonName = "golden.json";
constexpr std::string_view kTensorsName = "golden.safetensors";

Json dims_of(const Shape& shape) {
  Json dims = Json::array();
  for (const std::uint64_t dim : shape.dims()) dims.push_back(dim);
  return dims;
}

}  // namespace

Status write_golden_trace(const std::string& folder, bool overwrite, Json json,
                          std::span<const TracedValue> values) {
  std::vector<const TracedValue*> sorted;
  for (const TracedValue& value : values) sorted.push_back(&value);
  std::sort(sorted.begin(), sorted.end(),
            [](const TracedValue* a, const TracedValue* b) { return a->name < b->name; });
  std::vector<SafetensorsTensor> tensors;
  Json table = Json::object();
  for (const TracedValue* value : sorted) {
    SafetensorsTensor tensor;
    tensor.name = value->name;
    tensor.shape = value->shape;
    tensor.size = value->numbers.size() * sizeof(float);
    tensors.push_back(std::move(tensor));
    const auto bytes = std::as_bytes(std::span<const float>(value->numbers));
    table.set(value->name, Json::object({{"dtype", "F32"},
                                         {"shape", dims_of(value->shape)},
                                         {"sha256", sha256(bytes).hex()}}));
  }
  APR_ASSIGN(const std::string header, write_safetensors_header(tensors, Json::object()));
  APR_ASSIGN(AtomicFolder target,
             AtomicFolder::create(folder, overwrite, [](std::string_view name) {
               return name == kJsonName || name == kTensorsName;
             }));
  APR_ASSIGN(AtomicFile tensor_file, target.create_file(kTensorsName));
  Sha256 digest;
  digest.update(header);
  APR_TRY(tensor_file.write(header));
  for (const TracedValue* value : sorted) {
    const auto bytes = std::as_bytes(std::span<const float>(value->numbers));
    digest.update(bytes);
    APR_TRY(tensor_file.write(bytes));
  }
  APR_TRY(tensor_file.commit());
  json.set("tensor_file", kTensorsName);
  json.set("tensor_file_sha256", digest.finish().hex());
  json.set("tensors", std::move(table));
  APR_ASSIGN(AtomicFile json_file, target.create_file(kJsonName));
  APR_TRY(json_file.write(json.dump(1)));
  APR_TRY(json_file.write("\n"));
  APR_TRY(json_file.commit());
  return target.commit();
}

}  // namespace apr
