// GraphBuilder: how an architecture says what it computes.
//
// The first error sticks: later calls do nothing and build() returns it, so that a description
// reads straight through. Errors name the node, the input or parameter, and both shapes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/op.h"

namespace apr {

/// Rotary position embedding (Su et al. 2021, arXiv:2104.09864).
struct RopeSpec {
  std::uint32_t head_dim = 0;
  std::uint32_t rotary_dim = 0;  ///< leading dimensions of each head that turn; usually head_dim
  bool interleaved = false;      ///< pairs (2i, 2i+1); otherwise (i, i + rotary_dim/2)
  /// Angle per position of each pair, rotary_dim/2 numbers: theta^(-2i/d), already scaled.
  std::vector<double> inverse_frequencies;
  double attention_factor = 1.0;  ///< multiplies cos and sin (YaRN)
};

struct AttentionSpec {
  std::uint32_t num_attention_heads = 0;
  std::uint32_t num_key_value_heads = 0;  ///< divides num_attention_heads
  std::uint32_t head_dim = 0;
  double scale = 0;  ///< usually 1/sqrt(head_dim)
  bool causal = true;
  std::uint32_t window = 0;  ///< keys visible, the query included; 0 = all
};

class APR_API GraphBuilder {
 public:
  GraphBuilder() = default;

  /// Names of what follows get this prefix ("layer3."), until the scope object goes.
  class Scope {
   public:
    ~Scope() { builder_.prefix_.resize(size_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    friend class GraphBuilder;
    Scope(GraphBuilder& builder, std::size_t size) : builder_(builder), size_(size) {}
    GraphBuilder& builder_;
    std::size_t size_;
  };
  [[nodiscard]] Scope scope(std::string_view prefix);

  // Inputs every step provides.
  ValueId token_ids();
  ValueId positions();
  /// 0, 1, ... for the states of each encoded sequence.
  ValueId state_positions();
  /// Any other input, by name.
  ValueId input(std::string_view name, ValueType type);

  /// A weight by tensor name (never prefixed). The same tensor and transforms give the same id.
  ParameterId parameter(std::string_view tensor, Shape shape, std::string_view tied_to = {},
                        std::vector<Transform> transforms = {});
  CacheId cache(CacheDecl decl);
  /// See Graph::base_prefix().
  void base_prefix(std::string_view prefix) { graph_.base_prefix_ = prefix; }
  /// Tensors whose name ends so may also be found under the old ending.
  void also_named(std::string_view ending, std::string_view old_ending) {
    graph_.renames_.push_back({std::string(ending), std::string(old_ending)});
  }

  // The field's ops; core/graph/ops has their formulas. `name` names the node and its first output;
  // further outputs are called <name>_<output>: attention "layer0.attn" also makes
  // "layer0.attn_probs".
  ValueId embedding(std::string_view name, ValueId ids, ParameterId table);
  ValueId rms_norm(std::string_view name, ValueId x, ParameterId weight, double epsilon);
  ValueId layer_norm(std::string_view name, ValueId x, ParameterId weight,
                     std::optional<ParameterId> bias, double epsilon);
  ValueId linear(std::string_view name, ValueId x, ParameterId weight,
                 std::optional<ParameterId> bias = {});
  ValueId rope(std::string_view name, ValueId x, ValueId positions, const RopeSpec& spec);
  /// With a cache, keys and values of the step are appended to it first. With a cross cache the
  /// step's keys and values (one row per state) become what it holds of their sequence.
  ValueId attention(std::string_view name, ValueId q, ValueId k, ValueId v,
                    const AttentionSpec& spec, std::optional<CacheId> cache);
  ValueId silu_mul(std::string_view name, ValueId gate, ValueId up);
  /// By erf, or by the tanh form that approximates it.
  ValueId gelu(std::string_view name, ValueId x, bool tanh_form);
  ValueId tanh(std::string_view name, ValueId x);
  ValueId add(std::string_view name, ValueId a, ValueId b);
  /// Over the frames of each sequence, padded with zeros so that stride 1 keeps their number.
  /// Weight [out, in, kernel] with an odd kernel; stride > 1 makes states of frames.
  ValueId conv1d(std::string_view name, ValueId x, ParameterId weight,
                 std::optional<ParameterId> bias, std::uint32_t stride);
  /// Keeps the rows whose logits were asked for.
  ValueId select_logit_rows(std::string_view name, ValueId x);
  /// Keeps the row of each sequence's first token.
  ValueId first_of_sequence(std::string_view name, ValueId x);

  /// Any op by name; what the calls above are made of.
  std::vector<ValueId> node(std::string_view op, std::string_view name, std::vector<ValueId> inputs,
                            std::vector<ParameterId> parameters,
                            std::vector<Attribute> attributes = {},
                            std::optional<CacheId> cache = {});

  /// The first output is what a step returns. `name`: what else the value is known as.
  void output(ValueId value, std::string_view name = {});
  ModelFacts& facts() { return graph_.facts_; }
  /// Reports a problem of the description itself (an unsupported config field).
  void fail(Error error);
  bool ok() const { return !error_; }

  /// The finished graph, or the first error.
  Result<Graph> build() &&;

 private:
  struct StringHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  template <typename Id>
  using ByName = std::unordered_map<std::string, Id, StringHash, std::equal_to<>>;

  std::string full_name(std::string_view name) const { return prefix_ + std::string(name); }
  std::optional<ValueId> new_value(std::string name, ValueType type,
                                   std::optional<NodeId> producer);
  void fail_node(const Node& node, std::string message, std::string hint = {});
  bool complete_attributes(Node& node, std::vector<Attribute> given);
  bool check_references(const Node& node);

  Graph graph_;
  std::string prefix_;
  std::optional<Error> error_;
  ByName<ValueId> values_by_name_;
  ByName<std::vector<ParameterId>> parameters_by_tensor_;
};

}  // namespace apr
