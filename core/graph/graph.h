// Graph: what a model computes, as typed nodes over named values. Pure description: it holds no
// weights and no arithmetic. Every use of a model (inference on any backend, traces, profiles,
// export) starts from this one value.
//
// Rows and features. A value is a table: its rows are symbolic (one per token of the step, one per
// wanted logit, …), its feature dimensions are numbers known when the graph is built. A step is a
// flat list of tokens of any number of sequences; only attention looks at which sequence a row
// belongs to.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/tensor/shape.h"
#include "core/tensor/type.h"

namespace apr {

struct OpRow;

using ValueId = std::uint32_t;
using ParameterId = std::uint32_t;
using CacheId = std::uint32_t;
using NodeId = std::uint32_t;

/// What the rows of a value are counted by. Filled in anew for every step.
enum class Rows : std::uint8_t {
  tokens,      ///< one per token of the step
  logit_rows,  ///< one per token whose logits were asked for
  context,     ///< one per position visible to the step's sequences
  frames,      ///< one per frame of an encoder's input
  states,      ///< one per state an encoder makes of its frames (ModelFacts::frames_per_state)
  sequences,   ///< one per sequence that the step has tokens of
  // Attention probabilities, the kinds that are not row-major. Per sequence, in the order of the
  // step, a table [features][queries][keys]:
  pairs,        ///< of a token and a position visible to its sequence
  state_pairs,  ///< of two states of the same sequence
  cross_pairs,  ///< of a token and a state that its sequence holds
};
/// True for the kinds of pairs.
APR_API bool is_pairs(Rows rows);
APR_API std::string_view name_of(Rows rows);

/// How many rows of each kind a step has.
struct RowCounts {
  std::uint64_t tokens = 0;
  std::uint64_t logit_rows = 0;
  std::uint64_t context = 0;
  std::uint64_t frames = 0;
  std::uint64_t states = 0;
  std::uint64_t sequences = 0;
  std::uint64_t pairs = 0;
  std::uint64_t state_pairs = 0;
  std::uint64_t cross_pairs = 0;
  APR_API std::uint64_t of(Rows rows) const;
};

enum class Element : std::uint8_t { f32, i32 };

struct ValueType {
  Element element = Element::f32;
  Rows rows = Rows::tokens;
  std::uint64_t features = 1;  ///< elements per row (a flat count; heads are an op's attribute)
  friend bool operator==(const ValueType&, const ValueType&) = default;
};

struct Value {
  std::string name;
  ValueType type;
  std::optional<NodeId> producer;  ///< none for graph inputs
};

/// A step from the stored tensor to the one the node multiplies with. Applied in order, without
/// rewriting the file; backends may do it once at compile time.
struct Transform {
  enum class Kind : std::uint8_t {
    transpose,  ///< swap the two dimensions of a matrix
    slice,      ///< rows [begin, end) of the first dimension
  };
  Kind kind = Kind::transpose;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  friend bool operator==(const Transform&, const Transform&) = default;
};

/// A weight, by the name of its tensor.
struct Parameter {
  std::string tensor;  ///< "model.layers.0.mlp.up_proj.weight"
  Shape shape;         ///< after the transforms
  /// Used when `tensor` is not in the package: a tied head names the embedding here.
  std::string tied_to;
  std::vector<Transform> transforms;
};

using AttributeValue = std::variant<std::int64_t, double, bool, std::string, std::vector<double>>;
struct Attribute {
  std::string name;
  AttributeValue value;
};

/// A key/value memory that lives across steps: one per attention layer.
struct CacheDecl {
  std::string name;  ///< "layer0"
  std::uint32_t num_key_value_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t window = 0;  ///< keys visible to a query, itself included; 0 = all
  /// Holds what an encoder made of a sequence's frames: filled once, not per token.
  bool cross = false;
  Type element = Type::f32;  ///< f32 or f16
};

struct Node {
  const OpRow* op = nullptr;
  std::string name;  ///< "layer0.attn.q_proj"; traces, profiles and errors use it
  std::vector<ValueId> inputs;
  std::vector<ParameterId> parameters;
  std::vector<Attribute> attributes;  ///< complete: defaults are filled in by the builder
  std::optional<CacheId> cache;
  std::vector<ValueId> outputs;

  /// Attributes by name; asking for one that the op does not declare is a programming error.
  APR_API std::int64_t integer(std::string_view attribute) const;
  APR_API double number(std::string_view attribute) const;
  APR_API bool flag(std::string_view attribute) const;
  APR_API const std::string& text(std::string_view attribute) const;
  APR_API std::span<const double> numbers(std::string_view attribute) const;
};

/// Facts about the model that those who run it need and the nodes do not say.
struct ModelFacts {
  std::string architecture;  ///< "qwen2"
  std::uint32_t vocab_size = 0;
  std::uint32_t hidden_size = 0;
  std::uint32_t num_hidden_layers = 0;
  std::uint32_t num_attention_heads = 0;
  std::uint32_t num_key_value_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t intermediate_size = 0;
  std::uint32_t max_position_embeddings = 0;  ///< longest sequence the model was made for
  bool causal = true;                         ///< generates text
  bool tied_head = false;
  // Models with an encoder of frames.
  std::uint32_t max_frames = 0;        ///< of one sequence; 0: the model has no such encoder
  std::uint32_t frames_per_state = 1;  ///< n frames make ceil(n / frames_per_state) states
  std::uint64_t states_of(std::uint64_t frames) const {
    return frames / frames_per_state + (frames % frames_per_state != 0 ? 1 : 0);
  }
};

/// Another spelling of tensor names: old checkpoints write ".gamma" where new ones have ".weight".
struct TensorRename {
  std::string ending;      ///< "LayerNorm.weight", as the graph says
  std::string old_ending;  ///< "LayerNorm.gamma"
};

/// Nodes are in an order in which they can run. Built by GraphBuilder; immutable afterwards.
class APR_API Graph {
 public:
  std::span<const Node> nodes() const { return nodes_; }
  std::span<const Value> values() const { return values_; }
  std::span<const Parameter> parameters() const { return parameters_; }
  std::span<const CacheDecl> caches() const { return caches_; }
  std::span<const ValueId> inputs() const { return inputs_; }
  std::span<const ValueId> outputs() const { return outputs_; }
  const ModelFacts& facts() const { return facts_; }
  /// "transformer.": beginning of tensor names that checkpoints of the model without its head leave
  /// out. Empty: there is none. bind.h has the lookup.
  const std::string& base_prefix() const { return base_prefix_; }
  const std::vector<TensorRename>& renames() const { return renames_; }

  /// Some attention has no cache, so that a step must hold whole sequences, which it forgets.
  bool sees_whole_sequences() const { return sees_whole_sequences_; }

  const Value& value(ValueId id) const { return values_[id]; }
  const Parameter& parameter(ParameterId id) const { return parameters_[id]; }
  /// By the value's own name, or by the name of an output ("last_hidden_state").
  std::optional<ValueId> find_value(std::string_view name) const;

 private:
  friend class GraphBuilder;
  std::vector<Node> nodes_;
  std::vector<Value> values_;
  std::vector<Parameter> parameters_;
  std::vector<CacheDecl> caches_;
  std::vector<ValueId> inputs_;
  std::vector<ValueId> outputs_;
  std::vector<std::pair<std::string, ValueId>> output_names_;
  ModelFacts facts_;
  std::string base_prefix_;
  std::vector<TensorRename> renames_;
  bool sees_whole_sequences_ = false;
};

}  // namespace apr
