// A shaped view of bytes, and an owner of such bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "core/tensor/shape.h"
#include "core/tensor/type.h"

namespace apr {

/// Memory arrangement of plain rows, one after the other. Other layouts are named by whoever packs
/// them.
inline constexpr std::string_view kRowsLayout = "rows";

/// Does not own its bytes. data.size() == storage_bytes(type, shape).
struct TensorView {
  Type type = Type::f32;
  Shape shape;
  std::span<const std::byte> data;
  std::string_view layout = kRowsLayout;
};

/// Owns its bytes.
struct Tensor {
  Type type = Type::f32;
  Shape shape;
  std::vector<std::byte> data;

  TensorView view() const { return {type, shape, data, kRowsLayout}; }
};

}  // namespace apr
