// Kernels of the ops that touch every element once, and of ops that only the op table knows.
#include <algorithm>

#include "core/base/cat.h"
#include "core/tensor/codec.h"
#include "plugins/backends/cpu/engine.h"

namespace apr::cpu {
namespace {

/// Calls work(begin, end) for runs of rows; a run has about as many elements as are worth a chunk.
template <typename Work>
void for_rows(Engine& engine, Size rows, Size features, const Work& work) {
  constexpr Size kElements = 8192;
  const Size per_chunk = std::max<Size>(1, kElements / std::max<Size>(features, 1));
  const auto chunks = static_cast<std::uint32_t>((rows + per_chunk - 1) / per_chunk);
  engine.team->for_each(chunks, [&](std::uint32_t chunk, unsigned) {
    const Size begin = Size{chunk} * per_chunk;
    work(begin, std::min(begin + per_chunk, rows));
  });
}

class RmsNormKernel final : public NodeKernel {
 public:
  RmsNormKernel(Engine& engine, const Node& node, const float* weight)
      : engine_(engine),
        node_(node),
        weight_(weight),
        epsilon_(static_cast<float>(node.number("epsilon"))) {}

  Status run(const Step& step) noexcept override {
    const RowsView x = engine_.rows(node_.inputs[0], step);
    const RowsView out = engine_.rows(node_.outputs[0], step);
    for_rows(engine_, x.rows, x.features, [&](Size begin, Size end) {
      for (Size row = begin; row < end; ++row) {
        engine_.kernels.rms_norm(x.f32 + row * x.features, weight_, x.features, epsilon_,
                                 out.f32 + row * x.features);
      }
    });
    return {};
  }

 private:
  Engine& engine_;
  const Node& node_;
  const float* weight_;
  const float epsilon_;
};

class LayerNormKernel final : public NodeKernel {
 public:
  LayerNormKernel(Engine& engine, const Node& node, const float* weight, const float* bias)
      : engine_(engine),
        node_(node),
        weight_(weight),
        bias_(bias),
        epsilon_(static_cast<float>(node.number("epsilon"))) {}

  Status run(const Step& step) noexcept override {
    const RowsView x = engine_.rows(node_.inputs[0], step);
    const RowsView out = engine_.rows(node_.outputs[0], step);
    for_rows(engine_, x.rows, x.features, [&](Size begin, Size end) {
      for (Size row = begin; row < end; ++row) {
        engine_.kernels.layer_norm(x.f32 + row * x.features, weight_, bias_, x.features, epsilon_,
                                   out.f32 + row * x.features);
      }
    });
    return {};
  }

 private:
  Engine& engine_;
  const Node& node_;
  const float* weight_;
  const float* bias_;
  const float epsilon_;
};

/// gelu and tanh.
class EachKernel final : public NodeKernel {
 public:
  using Function = void (*)(const float*, Size, float*) noexcept;
  EachKernel(Engine& engine, const Node& node, Function function)
      : engine_(engine), node_(node), function_(function) {}

  Status run(const Step& step) noexcept override {
    const RowsView x = engine_.rows(node_.inputs[0], step);
    const RowsView out = engine_.rows(node_.outputs[0], step);
    for_rows(engine_, x.rows, x.features, [&](Size begin, Size end) {
      function_(x.f32 + begin * x.features, (end - begin) * x.features,
                out.f32 + begin * x.features);
    });
    return {};
  }

 private:
  Engine& engine_;
  const Node& node_;
  const Function function_;
};

/// select_logit_rows and first_of_sequence: few rows, copied.
class RowSelectionKernel final : public NodeKernel {
 public:
  RowSelectionKernel(Engine& engine, const Node& node)
      : engine_(engine), node_(node), first_of_sequence_(node.op->name == "first_of_sequence") {}

  Status run(const Step& step) noexcept override {
    const RowsView x = engine_.rows(node_.inputs[0], step);
    const RowsView out = engine_.rows(node_.outputs[0], step);
    const auto copy = [&](Size from, Size to) {
      std::copy_n(x.f32 + from * x.features, x.features, out.f32 + to * x.features);
    };
    if (first_of_sequence_) {
      const auto segments = engine_.segments(Rows::pairs, step);
      for (Size row = 0; row < segments.size(); ++row) copy(segments[row].begin, row);
      return {};
    }
    for_rows(engine_, out.rows, out.features, [&](Size begin, Size end) {
      for (Size row = begin; row < end; ++row) copy(step.batch->logit_rows[row], row);
    });
    return {};
  }

 private:
  Engine& engine_;
  const Node& node_;
  const bool first_of_sequence_;
};

/// add and silu_mul.
class PairKernel final : public NodeKernel {
 public:
  using Function = void (*)(const float*, const float*, Size, float*) noexcept;
  PairKernel(Engine& engine, const Node& node, Function function)
      : engine_(engine), node_(node), function_(function) {}

  Status run(const Step& step) noexcept override {
    const RowsView a = engine_.rows(node_.inputs[0], step);
    const RowsView b = engine_.rows(node_.inputs[1], step);
    const RowsView out = engine_.rows(node_.outputs[0], step);
    for_rows(engine_, a.rows, a.features, [&](Size begin, Size end) {
      const Size offset = begin * a.features;
      function_(a.f32 + offset, b.f32 + offset, (end - begin) * a.features, out.f32 + offset);
    });
    return {};
  }

 private:
  Engine& engine_;
  const Node& node_;
  const Function function_;
};

class EmbeddingKernel final : public NodeKernel {
 public:
  EmbeddingKernel(Engine& engine, const Node& node)
      : engine_(engine), node_(node), table_(engine.parameters.views[node.parameters[0]]) {}

  Status run(const Step& step) noexcept override {
    const RowsView ids = engine_.rows(node_.inputs[0], step);
    const RowsView out = engine_.rows(node_.outputs[0], step);
    for (Size row = 0; row < ids.rows; ++row) {
      const std::int32_t id = ids.i32[row];
      if (id < 0 || static_cast<Size>(id) >= table_.shape[0]) {
        return make_error(
            ErrorCode::inference,
            cat("id ", id, " at row ", row, " is outside the table's ", table_.shape[0], " rows"));
      }
    }
    for_rows(engine_, ids.rows, out.features, [&](Size begin, Size end) {
      for (Size row = begin; row < end; ++row) {
        const std::span<float> to(out.f32 + row * out.features, out.features);
        // Type, bytes and row were checked: it cannot fail.
        static_cast<void>(decode_row(table_, static_cast<Size>(ids.i32[row]), to).ok());
      }
    });
    return {};
  }

 private:
  Engine& engine_;
  const Node& node_;
  const TensorView table_;
};

class RopeKernel final : public NodeKernel {
 public:
  RopeKernel(Engine& engine, const Node& node, std::size_t turns)
      : engine_(engine),
        node_(node),
        turns_(turns),
        head_dim_(static_cast<Size>(node.integer("head_dim"))),
        pairs_(static_cast<Size>(node.integer("rotary_dim")) / 2) {}

  Status run(const Step& step) noexcept override {
    const RowsView x = engine_.rows(node_.inputs[0], step);
    const RowsView out = engine_.rows(node_.outputs[0], step);
    const RopeTurns& turns = engine_.turns(turns_, step);
    const auto* const cosines = reinterpret_cast<const float*>(turns.cosines.data());
    const auto* const sines = reinterpret_cast<const float*>(turns.sines.data());
    for_rows(engine_, x.rows, x.features, [&](Size begin, Size end) {
      for (Size row = begin; row < end; ++row) {
        for (Size at = row * x.features; at < (row + 1) * x.features; at += head_dim_) {
          engine_.kernels.rope_halves(x.f32 + at, cosines + row * pairs_, sines + row * pairs_,
                                      pairs_, out.f32 + at);
          std::copy(x.f32 + at + 2 * pairs_, x.f32 + at + head_dim_, out.f32 + at + 2 * pairs_);
        }
      }
    });
    return {};
  }

 private:
  Engine& engine_;
  const Node& node_;
  const std::size_t turns_;
  const Size head_dim_;
  const Size pairs_;
};

/// Whatever the op table says, on one thread.
class ReferenceKernel final : public NodeKernel {
 public:
  ReferenceKernel(Engine& engine, const Node& node) : engine_(engine), node_(node) {
    for (const ParameterId id : node.parameters) parameters_.push_back(engine.parameters.views[id]);
    inputs_.resize(node.inputs.size());
    outputs_.resize(node.outputs.size());
  }

  Status run(const Step& step) noexcept override {
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      inputs_[i] = engine_.rows(node_.inputs[i], step);
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      outputs_[i] = engine_.rows(node_.outputs[i], step);
      if (is_pairs(engine_.graph.value(node_.outputs[i]).type.rows)) {
        outputs_[i].f32 = engine_.wanted_pairs;
      }
    }
    const KernelCall call{&engine_.graph, &node_,     inputs_,   parameters_,
                          outputs_,       step.batch, step.cache};
    return node_.op->reference(call);
  }

 private:
  Engine& engine_;
  const Node& node_;
  std::vector<TensorView> parameters_;
  std::vector<RowsView> inputs_;
  std::vector<RowsView> outputs_;
};

template <typename Kernel, typename... Arguments>
Result<std::unique_ptr<NodeKernel>> make(Engine& engine, const Node& node, Arguments... arguments) {
  return std::unique_ptr<NodeKernel>(std::make_unique<Kernel>(engine, node, arguments...));
}

}  // namespace

Result<std::unique_ptr<NodeKernel>> compile_rms_norm(Engine& engine, const Node& node) {
  APR_ASSIGN(const float* weight, engine.floats(node.parameters[0]));
  return make<RmsNormKernel>(engine, node, weight);
}

Result<std::unique_ptr<NodeKernel>> compile_layer_norm(Engine& engine, const Node& node) {
  APR_ASSIGN(const float* weight, engine.floats(node.parameters[0]));
  const float* bias = nullptr;
  if (node.parameters.size() > 1) {
    APR_ASSIGN(bias, engine.floats(node.parameters[1]));
  }
  return make<LayerNormKernel>(engine, node, weight, bias);
}

Result<std::unique_ptr<NodeKernel>> compile_gelu(Engine& engine, const Node& node) {
  const bool tanh_form = node.text("approximation") == "tanh";
  return make<EachKernel>(engine, node,
                          tanh_form ? engine.kernels.gelu_tanh : engine.kernels.gelu_erf);
}

Result<std::unique_ptr<NodeKernel>> compile_tanh(Engine& engine, const Node& node) {
  return make<EachKernel>(engine, node, engine.kernels.tanh);
}

Result<std::unique_ptr<NodeKernel>> compile_row_selection(Engine& engine, const Node& node) {
  return make<RowSelectionKernel>(engine, node);
}

Result<std::unique_ptr<NodeKernel>> compile_elementwise(Engine& engine, const Node& node) {
  return make<PairKernel>(engine, node,
                          node.op->name == "add" ? engine.kernels.add : engine.kernels.silu_mul);
}

Result<std::unique_ptr<NodeKernel>> compile_embedding(Engine& engine, const Node& node) {
  const TensorView& table = engine.parameters.views[node.parameters[0]];
  std::vector<float> row(table.shape.columns());
  if (table.shape[0] > 0) APR_TRY(decode_row(table, 0, row));  // says what is wrong with the type
  return make<EmbeddingKernel>(engine, node);
}

Result<std::unique_ptr<NodeKernel>> compile_rope(Engine& engine, const Node& node) {
  if (node.flag("interleaved")) return std::unique_ptr<NodeKernel>();
  if (engine.graph.value(node.inputs[1]).type.rows != Rows::tokens)
    return std::unique_ptr<NodeKernel>();
  const std::size_t turns = engine.need_turns(node.numbers("inverse_frequencies"),
                                              node.number("attention_factor"), node.inputs[1]);
  return make<RopeKernel>(engine, node, turns);
}

Result<std::unique_ptr<NodeKernel>> compile_node(Engine& engine, const Node& node) {
  struct Row {
    std::string_view op;
    Result<std::unique_ptr<NodeKernel>> (*compile)(Engine&, const Node&);
  };
  constexpr Row kRows[] = {
      {"add", compile_elementwise},
      {"attention", compile_attention},
      {"conv1d", compile_conv1d},
      {"embedding", compile_embedding},
      {"first_of_sequence", compile_row_selection},
      {"gelu", compile_gelu},
      {"layer_norm", compile_layer_norm},
      {"linear", compile_linear},
      {"rms_norm", compile_rms_norm},
      {"rope", compile_rope},
      {"select_logit_rows", compile_row_selection},
      {"silu_mul", compile_elementwise},
      {"tanh", compile_tanh},
  };
  for (const Row& row : kRows) {
    if (row.op != node.op->name) continue;
    APR_ASSIGN(auto kernel, row.compile(engine, node));
    if (kernel != nullptr) return kernel;
  }
  if (node.op->reference == nullptr) {
    return make_error(ErrorCode::unsupported,
                      cat("the cpu backend has no kernel for op ", node.op->name));
  }
  return make<ReferenceKernel>(engine, node);
}

}  // namespace apr::cpu
