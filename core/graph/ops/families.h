// The rows of the op table, by family. A new op is a row in one of these functions' files.
#pragma once

#include <vector>

#include "core/graph/op.h"

namespace apr::ops {

std::vector<OpRow> embedding_ops();
std::vector<OpRow> linear_ops();
std::vector<OpRow> norm_ops();
std::vector<OpRow> rope_ops();
std::vector<OpRow> attention_ops();
std::vector<OpRow> elementwise_ops();
std::vector<OpRow> row_ops();
std::vector<OpRow> conv_ops();

}  // namespace apr::ops
