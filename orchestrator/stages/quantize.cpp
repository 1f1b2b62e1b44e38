// apr quantize: apr convert, spelled as the task.
#include "orchestrator/stages/convert.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "quantize";
  info.summary = "shrink a model's weights (another spelling of convert)";
  info.details = conversion_details();
  Param type = scheme_param("type");
  type.aliases = {"scheme"};
  type.letter = 's';
  info.params = {model_param(), type, output_param("the .apr file to write"), force_param()};
  info.examples = {{"apr quantize tiny.apr --type q4_0 --output tiny-q4.apr", "4 bits per weight"},
                   {"apr quantize tiny.apr -s int8 -o tiny-int8.apr", "8 bits per weight"}};
  info.metrics = {"output_bytes", "weight_bytes", "ratio"};
  return info;
}

class Quantize final : public ConversionStage {
 public:
  Quantize() : ConversionStage(describe(), "type") {}
};

}  // namespace

std::unique_ptr<Verb> make_quantize() {
  return std::make_unique<Quantize>();
}

}  // namespace apr
