// Storing a package's tensors in other types, one tensor at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/package/package.h"
#include "core/package/write.h"
#include "orchestrator/stages/verb.h"

namespace apr {

struct TypeUse {
  std::uint64_t tensors = 0;
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
};
/// By type name; aliases count nothing.
using TypeTable = std::map<std::string, TypeUse>;

TypeTable types_of(const Package& package);
TypeTable types_of(const PackagePlan& plan);
Json types_as_json(const TypeTable& table);
std::uint64_t total_bytes(const TypeTable& table);

/// What a scheme's name stands for.
struct SchemeUse {
  std::string name;    ///< "int4"
  Type type;           ///< what large matrices become
  std::string plugin;  ///< "quantizer_block 0.1.0"
  std::size_t changed = 0;
  std::size_t kept = 0;
};

/// Changes the plan so that tensors are written under the scheme, and records quantization in its
/// metadata and lineage. `package` is what the plan was made from. Rows are encoded on all threads;
/// the bytes do not depend on how many. Quantizing what is quantized to another type is refused.
Result<SchemeUse> quantize_plan(RunContext& context, std::shared_ptr<const Package> package,
                                const std::string& scheme, PackagePlan& plan);

/// Adds the step from `package` to the history.
Status add_lineage(PackagePlan& plan, const Package& package, std::string stage, std::string plugin,
                   Json parameters);

/// Writes with progress, noticing Ctrl-C and a source that changed meanwhile before anything is
/// committed.
Result<WrittenPackage> write_plan(RunContext& context, const Package& package,
                                  const std::string& output, bool overwrite, PackagePlan plan);

}  // namespace apr
