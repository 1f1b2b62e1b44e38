// Sound files: any bytes give samples within the limits, all of them finite, or an error.
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "orchestrator/stages/audio.h"
#include "orchestrator/stages/audio_bytes.h"

/// libsndfile 1.2.0 forgets memory of libvorbis when it gives up on a damaged Ogg file.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libvorbis\n";
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace apr;
  static_cast<void>(missing_audio_bytes(std::as_bytes(std::span(data, size))).has_value());
  const int file = ::memfd_create("sound", MFD_CLOEXEC);
  if (file < 0 || ::write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  AudioLimits limits;
  limits.max_seconds = 2;
  constexpr std::uint32_t kRate = 16'000;
  const auto audio = read_audio("/proc/self/fd/" + std::to_string(file), kRate, limits, {});
  ::close(file);
  if (!audio) {
    if (audio.error().message.empty()) std::abort();
    return 0;
  }
  constexpr double kSlack = 0.1;  // what converting the rate adds at the end
  if (audio->samples.empty() || audio->seconds() > limits.max_seconds + kSlack) std::abort();
  for (const float sample : audio->samples) {
    if (!std::isfinite(sample)) std::abort();
  }
  return 0;
}
