#include "orchestrator/stages/heard_frames.h"

#include "core/base/cat.h"
#include "orchestrator/stages/audio.h"
#include "orchestrator/stages/open_package.h"

namespace apr {

namespace {

constexpr std::string_view kFile = "preprocessor_config.json";

}  // namespace

Result<LogMel> front_end_of(const Package& package, const Graph& graph) {
  const std::string place = cat(package.path(), ": ", kFile);
  const std::string* text = package.file(kFile);
  if (text == nullptr) {
    return make_error(ErrorCode::load,
                      "is missing, which says how sound becomes what the model hears", place,
                      "import the model again from its complete folder");
  }
  APR_ASSIGN(const Json config, parse_json(*text, place));
  APR_ASSIGN(const MelOptions options, read_mel_options(config, place));
  const auto unsuited = [&](const std::string& what) {
    return make_error(ErrorCode::load, what, place, "the file belongs to another model");
  };
  for (const ValueId id : graph.inputs()) {
    const Value& input = graph.value(id);
    if (input.type.rows == Rows::frames && input.type.features != options.feature_size) {
      return unsuited(cat("field feature_size: ", options.feature_size,
                          ", but the model hears num_mel_bins ", input.type.features));
    }
  }
  if (options.chunk_frames() != graph.facts().max_frames) {
    return unsuited(cat("field chunk_length: ", options.chunk_length, " s are ",
                        options.chunk_frames(), " frames, but the model hears ",
                        graph.facts().max_frames, " (max_source_positions)"));
  }
  return LogMel::create(options);
}

Result<std::vector<float>> frames_of_recording(RunContext& context, const LogMel& front_end,
                                               const std::string& path) {
  const MelOptions& options = front_end.options();
  APR_ASSIGN(const Audio audio,
             read_audio(path, options.sampling_rate, {}, forward_progress(context)));
  context.progress.finish();
  if (audio.samples.size() > options.chunk_samples()) {
    return make_error(ErrorCode::unsupported,
                      cat("lasts ", audio.seconds(), " s; the encoder hears ", options.chunk_length,
                          " s at once"),
                      path, "cut it, or let `apr transcribe` go through it chunk by chunk");
  }
  return front_end.features(audio.samples, options.chunk_samples());
}

}  // namespace apr
