// The op "linear" is a product as it stands.
#include "plugins/backends/cpu/product.h"

namespace apr::cpu {
namespace {

class LinearKernel final : public NodeKernel {
 public:
  LinearKernel(Engine& engine, const Node& node) : engine_(engine), node_(node), product_(engine) {}

  Status prepare() {
    APR_TRY(check_weight(engine_, node_.parameters[0]));
    const TensorView& weight = engine_.parameters.views[node_.parameters[0]];
    const float* bias = nullptr;
    if (node_.parameters.size() > 1) {
      APR_ASSIGN(bias, engine_.floats(node_.parameters[1]));
    }
    product_.prepare(weight, weight.shape[0], weight.shape[1], bias, true);
    return {};
  }

  Status run(const Step& step) noexcept override {
    return product_.multiply(node_.inputs[0], engine_.rows(node_.inputs[0], step),
                             engine_.rows(node_.outputs[0], step));
  }

 private:
  Engine& engine_;
  const Node& node_;
  Product product_;
};

}  // namespace

Result<std::unique_ptr<NodeKernel>> compile_linear(Engine& engine, const Node& node) {
  auto kernel = std::make_unique<LinearKernel>(engine, node);
  APR_TRY(kernel->prepare());
  return std::unique_ptr<NodeKernel>(std::move(kernel));
}

}  // namespace apr::cpu
