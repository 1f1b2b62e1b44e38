// libsndfile decodes, libsoxr converts rates; both are C libraries and throw nothing. The file is
// mapped (or read from a pipe) and given to libsndfile as memory, so that both ways are one, and so
// that a file that claims more than it holds is noticed: libsndfile itself quietly shortens it.
#include "orchestrator/stages/audio.h"

#include <sndfile.h>
#include <soxr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/stages/audio_bytes.h"
#include "orchestrator/stages/verb.h"

namespace apr {

namespace {

constexpr int kMaxChannels = 64;
constexpr int kMinRate = 1000;
constexpr int kMaxRate = 768'000;
constexpr std::size_t kBlockSamples = std::size_t{1} << 16;
constexpr std::string_view kInterruptedWhat = "reading the sound";

Error no_audio(const std::string& name, std::string_view why) {
  if (why.ends_with('.')) why.remove_suffix(1);
  return make_error(ErrorCode::format, cat("is no audio file that can be read: ", why), name,
                    "WAV, FLAC, Ogg, MP3 and AIFF can; others can be turned into WAV, for example "
                    "with ffmpeg");
}

/// libsndfile's view of bytes in memory.
struct MemoryFile {
  std::span<const std::byte> bytes;
  sf_count_t position = 0;

  static sf_count_t length(void* self) {
    return static_cast<sf_count_t>(static_cast<MemoryFile*>(self)->bytes.size());
  }
  static sf_count_t seek(sf_count_t offset, int whence, void* self) {
    auto& file = *static_cast<MemoryFile*>(self);
    const auto size = static_cast<sf_count_t>(file.bytes.size());
    const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file.position : size;
    sf_count_t target = 0;
    if (__builtin_add_overflow(base, offset, &target) || target < 0 || target > size) return -1;
    file.position = target;
    return target;
  }
  static sf_count_t read(void* to, sf_count_t count, void* self) {
    auto& file = *static_cast<MemoryFile*>(self);
    const sf_count_t rest = static_cast<sf_count_t>(file.bytes.size()) - file.position;
    count = std::clamp<sf_count_t>(count, 0, rest);
    std::memcpy(to, file.bytes.data() + file.position, static_cast<std::size_t>(count));
    file.position += count;
    return count;
  }
  static sf_count_t write(const void*, sf_count_t, void*) { return 0; }
  static sf_count_t tell(void* self) { return static_cast<MemoryFile*>(self)->position; }
};

using SoundFile = std::unique_ptr<SNDFILE, int (*)(SNDFILE*)>;
using Resampler = std::unique_ptr<soxr, void (*)(soxr*)>;

/// Collects samples at the wanted rate.
class Collector {
 public:
  static Result<Collector> create(double from, double to, std::uint64_t limit) {
    Collector collector;
    collector.limit_ = limit;
    if (from == to) return collector;
    const soxr_io_spec_t numbers = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    const soxr_runtime_spec_t one_thread = soxr_runtime_spec(1);
    soxr_error_t problem = nullptr;
    collector.resampler_.reset(soxr_create(from, to, 1, &problem, &numbers, &quality, &one_thread));
    if (problem != nullptr || !collector.resampler_) {
      return make_error(ErrorCode::generic,
                        cat("the rate cannot be converted from ", from, " to ", to, ": ",
                            problem == nullptr ? "no memory" : problem));
    }
    collector.block_.resize(
        static_cast<std::size_t>(std::ceil(static_cast<double>(kBlockSamples) * to / from)) + 16);
    return collector;
  }

  /// False once there are more samples than the limit.
  Result<bool> push(std::span<const float> samples) {
    if (!resampler_) {
      samples_.insert(samples_.end(), samples.begin(), samples.end());
      return samples_.size() <= limit_;
    }
    while (!samples.empty()) {
      std::size_t taken = 0;
      APR_TRY(convert(samples.data(), samples.size(), &taken));
      samples = samples.subspan(taken);
    }
    return samples_.size() <= limit_;
  }

  Result<std::vector<float>> finish() {
    while (resampler_) {
      const std::size_t before = samples_.size();
      APR_TRY(convert(nullptr, 0, nullptr));
      if (samples_.size() == before) break;
    }
    return std::move(samples_);
  }

 private:
  Status convert(const float* from, std::size_t count, std::size_t* taken) {
    std::size_t made = 0;
    const soxr_error_t problem =
        soxr_process(resampler_.get(), from, count, taken, block_.data(), block_.size(), &made);
    if (problem != nullptr || (taken != nullptr && *taken == 0 && made == 0)) {
      return make_error(ErrorCode::generic, cat("the rate could not be converted: ",
                                                problem == nullptr ? "no progress" : problem));
    }
    samples_.insert(samples_.end(), block_.begin(),
                    block_.begin() + static_cast<std::ptrdiff_t>(made));
    return {};
  }

  Resampler resampler_{nullptr, soxr_delete};
  std::vector<float> block_;
  std::vector<float> samples_;
  std::uint64_t limit_ = 0;
};

std::string format_name(SNDFILE* file, int format) {
  std::string name;
  for (const int part : {format & SF_FORMAT_TYPEMASK, format & SF_FORMAT_SUBMASK}) {
    SF_FORMAT_INFO info{};
    info.format = part;
    if (sf_command(file, SFC_GET_FORMAT_INFO, &info, sizeof info) != 0 || info.name == nullptr) {
      continue;
    }
    name += cat(name.empty() ? "" : ", ", info.name);
  }
  return name;
}

/// Whether the number of frames that the header names is known to be right. That of an MP3 file is
/// counted or estimated, and streams that were written to a pipe do not know theirs.
bool count_is_exact(const SF_INFO& info) {
  const int type = info.format & SF_FORMAT_TYPEMASK;
  return type != SF_FORMAT_MPEG && info.frames < SF_COUNT_MAX;
}

Error too_long(const std::string& name, double seconds) {
  return make_error(ErrorCode::unsupported,
                    cat("holds more than ", human_seconds(seconds), " of sound"), name,
                    "cut it into parts");
}

class Reader {
 public:
  Reader(std::string name, std::uint32_t rate, const AudioLimits& limits,
         const ProgressFunction& progress)
      : name_(std::move(name)), rate_(rate), limits_(limits), progress_(progress) {}

  Result<Audio> read(std::span<const std::byte> bytes) {
    if (bytes.empty()) return make_error(ErrorCode::format, "is empty", name_);
    if (const auto missing = missing_audio_bytes(bytes)) {
      return make_error(ErrorCode::format, cat("is cut off: ", *missing), name_,
                        "get the file again; if this is all there is, ffmpeg can write it anew");
    }
    MemoryFile memory{bytes};
    SF_VIRTUAL_IO io{MemoryFile::length, MemoryFile::seek, MemoryFile::read, MemoryFile::write,
                     MemoryFile::tell};
    SF_INFO info{};
    const SoundFile file(sf_open_virtual(&io, SFM_READ, &info, &memory), &sf_close);
    if (!file) return no_audio(name_, sf_strerror(nullptr));
    APR_TRY(check(info));

    Audio audio;
    audio.rate = rate_;
    audio.format = format_name(file.get(), info.format);
    audio.source_rate = static_cast<std::uint32_t>(info.samplerate);
    audio.source_channels = static_cast<std::uint32_t>(info.channels);
    const auto limit = static_cast<std::uint64_t>(limits_.max_seconds * rate_);
    APR_ASSIGN(Collector collector, Collector::create(info.samplerate, rate_, limit));
    APR_TRY(decode(file.get(), info, collector));
    APR_ASSIGN(audio.samples, collector.finish());
    if (audio.samples.empty()) return make_error(ErrorCode::format, "holds no sound", name_);
    // What was read is finite; converting the rate sums up, and so may leave the range of a float.
    const auto finite = [](float sample) { return std::isfinite(sample); };
    if (!std::all_of(audio.samples.begin(), audio.samples.end(), finite)) {
      return make_error(ErrorCode::format,
                        cat("holds samples too large to convert from ", info.samplerate, " to ",
                            rate_, " samples per second"),
                        name_, "full scale is 1; make it quieter");
    }
    return audio;
  }

 private:
  Status check(const SF_INFO& info) const {
    if (info.channels < 1 || info.channels > kMaxChannels) {
      return make_error(
          ErrorCode::format,
          cat("has ", info.channels, " channels; 1 to ", kMaxChannels, " can be read"), name_);
    }
    if (info.samplerate < kMinRate || info.samplerate > kMaxRate) {
      return make_error(ErrorCode::format,
                        cat("has ", info.samplerate, " samples per second; ", kMinRate, " to ",
                            kMaxRate, " can be read"),
                        name_);
    }
    if (info.frames < 0) return make_error(ErrorCode::format, "has a negative length", name_);
    if (count_is_exact(info) &&
        static_cast<double>(info.frames) > limits_.max_seconds * info.samplerate) {
      return too_long(name_, limits_.max_seconds);
    }
    return {};
  }

  Status decode(SNDFILE* file, const SF_INFO& info, Collector& collector) const {
    const auto channels = static_cast<std::size_t>(info.channels);
    const std::size_t block = kBlockSamples / channels;
    std::vector<float> interleaved(block * channels);
    std::vector<float> mono(block);
    std::uint64_t frames = 0;
    for (;;) {
      const sf_count_t got =
          sf_readf_float(file, interleaved.data(), static_cast<sf_count_t>(block));
      if (got <= 0) break;
      const auto count = static_cast<std::size_t>(got);
      APR_TRY(average(interleaved, channels, frames, {mono.data(), count}));
      APR_ASSIGN(const bool more, collector.push({mono.data(), count}));
      if (!more) return too_long(name_, limits_.max_seconds);
      frames += count;
      const std::uint64_t total =
          count_is_exact(info) ? static_cast<std::uint64_t>(info.frames) : 0;
      if (progress_ && !progress_(kInterruptedWhat, frames, total)) {
        return make_error(ErrorCode::interrupted, "stopped before the end");
      }
    }
    if (const int problem = sf_error(file); problem != SF_ERR_NO_ERROR) {
      return make_error(ErrorCode::format,
                        cat("cannot be decoded after ",
                            human_seconds(static_cast<double>(frames) / info.samplerate), ": ",
                            sf_error_number(problem)),
                        name_, "the file is damaged or cut off; get it again");
    }
    if (count_is_exact(info) && frames < static_cast<std::uint64_t>(info.frames)) {
      return make_error(
          ErrorCode::format,
          cat("is cut off: ", with_commas(frames), " of ",
              with_commas(static_cast<std::uint64_t>(info.frames)), " samples are there"),
          name_, "get the file again");
    }
    return {};
  }

  Status average(std::span<const float> interleaved, std::size_t channels, std::uint64_t before,
                 std::span<float> mono) const {
    for (std::size_t i = 0; i < mono.size(); ++i) {
      double sum = 0;
      for (std::size_t c = 0; c < channels; ++c) sum += double{interleaved[i * channels + c]};
      mono[i] = static_cast<float>(sum / static_cast<double>(channels));
      if (!std::isfinite(mono[i])) {
        return make_error(ErrorCode::format, cat("sample ", before + i, " is not a finite number"),
                          name_);
      }
    }
    return {};
  }

  std::string name_;
  std::uint32_t rate_;
  const AudioLimits& limits_;
  const ProgressFunction& progress_;
};

/// Everything that a descriptor gives, pipes included.
Result<std::vector<std::byte>> drain(int descriptor, const std::string& name,
                                     const AudioLimits& limits) {
  std::vector<std::byte> bytes;
  std::size_t used = 0;
  for (;;) {
    if (g_interrupted.load()) return make_error(ErrorCode::interrupted, "stopped before the end");
    if (used == bytes.size()) bytes.resize(std::max<std::size_t>(bytes.size() * 2, 1 << 16));
    const ssize_t got = ::read(descriptor, bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return make_error(ErrorCode::io, cat("could not be read: ", std::strerror(errno)), name);
    }
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > limits.max_input_bytes) {
      return make_error(ErrorCode::unsupported,
                        cat("gives more than ", human_bytes(limits.max_input_bytes)), name,
                        "put it into a file and name that");
    }
  }
  bytes.resize(used);
  return bytes;
}

}  // namespace

Result<Audio> read_audio(const std::string& path, std::uint32_t rate, const AudioLimits& limits,
                         const ProgressFunction& progress) {
  if (path == "-") {
    const std::string name = "standard input";
    APR_ASSIGN(const std::vector<std::byte> bytes, drain(STDIN_FILENO, name, limits));
    return Reader(name, rate, limits, progress).read(bytes);
  }
  APR_ASSIGN(const FileStatus status, file_status(path));
  switch (status.kind) {
    case FileKind::missing:
      return make_error(ErrorCode::not_found, "there is no such file", path);
    case FileKind::folder:
      return make_error(ErrorCode::not_found, "is a folder, not an audio file", path);
    case FileKind::other:
      return make_error(ErrorCode::not_found, "is neither a file nor a folder", path,
                        "sound can come through standard input: give - for the file");
    case FileKind::file:
      break;
  }
  if (status.size == 0) return make_error(ErrorCode::format, "is empty", path);
  APR_ASSIGN(const std::shared_ptr<const FileMapping> mapping, FileMapping::open(path));
  auto audio = Reader(path, rate, limits, progress).read(mapping->bytes());
  if (audio) APR_TRY(mapping->check_unchanged());
  return audio;
}

}  // namespace apr
