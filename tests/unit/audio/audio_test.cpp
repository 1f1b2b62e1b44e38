// Sound files of many kinds, written by libsndfile or byte by byte.
#include "orchestrator/stages/audio.h"

#include <sndfile.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <numbers>
#include <string>
#include <vector>

#include "orchestrator/stages/verb.h"

using namespace apr;

/// libsndfile 1.2.0 forgets memory of libvorbis when it gives up on a damaged Ogg file.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libvorbis\n";
}

namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "apr-audio-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
    return file(name);
  }

 private:
  std::filesystem::path path_;
};

std::string slurp(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// A few tones; one channel.
std::vector<float> sound(double rate, double seconds) {
  std::vector<float> samples;
  const auto count = static_cast<std::size_t>(rate * seconds);
  for (std::size_t i = 0; i < count; ++i) {
    const double t = static_cast<double>(i) / rate;
    samples.push_back(static_cast<float>(0.4 * std::sin(2 * std::numbers::pi * 440 * t) +
                                         0.2 * std::sin(2 * std::numbers::pi * 1234.5 * t)));
  }
  return samples;
}

std::string encode(const Folder& folder, const std::string& name, int format, int rate,
                   int channels, const std::vector<float>& mono) {
  SF_INFO info{};
  info.format = format;
  info.samplerate = rate;
  info.channels = channels;
  const std::string path = folder.file(name);
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  REQUIRE(file != nullptr);
  std::vector<float> frames;
  for (const float sample : mono) {
    for (int c = 0; c < channels; ++c) frames.push_back(sample);
  }
  REQUIRE(sf_writef_float(file, frames.data(), static_cast<sf_count_t>(mono.size())) ==
          static_cast<sf_count_t>(mono.size()));
  sf_close(file);
  return path;
}

Result<Audio> read(const std::string& path, const AudioLimits& limits = {}) {
  return read_audio(path, 16000, limits, {});
}

Error refusal(const std::string& path, const AudioLimits& limits = {}) {
  auto audio = read(path, limits);
  REQUIRE_FALSE(audio.ok());
  INFO(audio.error().to_string());
  CHECK(audio.error().context == path);
  return std::move(audio).error();
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b,
                          std::size_t margin = 0) {
  double largest = 0;
  for (std::size_t i = margin; i + margin < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(double{a[i]} - double{b[i]}));
  }
  return largest;
}

void put(std::string& to, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to += static_cast<char>(value >> (8 * i) & 255);
}

/// A WAV file of 16-bit samples, with whatever its header shall claim.
std::string wav(std::uint16_t channels, std::uint32_t rate, const std::string& samples,
                std::uint32_t claimed) {
  std::string bytes = "RIFF";
  put(bytes, claimed + 36, 4);
  bytes += "WAVEfmt ";
  put(bytes, 16, 4);
  put(bytes, 1, 2);
  put(bytes, channels, 2);
  put(bytes, rate, 4);
  put(bytes, rate * channels * 2, 4);
  put(bytes, channels * 2U, 2);
  put(bytes, 16, 2);
  bytes += "data";
  put(bytes, claimed, 4);
  return bytes + samples;
}

std::string some_samples(std::size_t count) {
  std::string samples;
  for (std::size_t i = 0; i < count; ++i)
    put(samples, static_cast<std::uint32_t>(i * 37 % 9000), 2);
  return samples;
}

/// Standard input from a file, for one test.
class StandardInput {
 public:
  explicit StandardInput(const std::string& path) : saved_(::dup(0)) {
    REQUIRE(std::freopen(path.c_str(), "rb", stdin) != nullptr);
  }
  ~StandardInput() {
    ::dup2(saved_, 0);
    ::close(saved_);
  }
  StandardInput(const StandardInput&) = delete;
  StandardInput& operator=(const StandardInput&) = delete;

 private:
  int saved_;
};

}  // namespace

TEST_CASE("Every width is read as what it stands for") {
  const Folder folder;
  const std::vector<float> samples = sound(16000, 0.5);
  struct Kind {
    const char* name;
    int format;
    double error;
  };
  const Kind kinds[] = {{"u8.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 1.0 / 128},
                        {"16.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1.0 / 32768},
                        {"24.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_24, 1.0 / 8388608},
                        {"32.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_32, 1e-7},
                        {"float.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 0},
                        {"double.wav", SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 0},
                        {"ulaw.wav", SF_FORMAT_WAV | SF_FORMAT_ULAW, 0.05},
                        {"extensible.wav", SF_FORMAT_WAVEX | SF_FORMAT_PCM_16, 1.0 / 32768},
                        {"big.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16 | SF_ENDIAN_BIG, 1.0 / 32768},
                        {"rf64.wav", SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 1.0 / 32768},
                        {"16.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 1.0 / 32768},
                        {"16.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 1.0 / 32768},
                        {"24.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 1.0 / 8388608},
                        {"16.caf", SF_FORMAT_CAF | SF_FORMAT_PCM_16, 1.0 / 32768},
                        {"vorbis.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 0.1}};
  for (const Kind& kind : kinds) {
    INFO(kind.name);
    const auto audio = read(encode(folder, kind.name, kind.format, 16000, 1, samples));
    if (!audio) FAIL(audio.error().to_string());
    CHECK(audio->samples.size() == samples.size());
    // libsndfile writes 1.0 as the largest number, and reads that as a little less than 1.0.
    CHECK(largest_difference(audio->samples, samples) <= 1.2 * kind.error);
    CHECK(audio->rate == 16000);
    CHECK(audio->source_channels == 1);
    CHECK(audio->seconds() == Approx(0.5));
    CHECK_FALSE(audio->format.empty());
  }
}

TEST_CASE("16-bit samples are divided by 32768") {
  const Folder folder;
  std::string samples;
  for (const int value : {0, 1, -1, 16384, -32768, 32767}) {
    put(samples, static_cast<std::uint32_t>(value), 2);
  }
  const auto audio = read(folder.write("a.wav", wav(1, 16000, samples, 12)));
  REQUIRE(audio.ok());
  CHECK(audio->samples ==
        std::vector<float>{0.0F, 1.0F / 32768, -1.0F / 32768, 0.5F, -1.0F, 32767.0F / 32768});
}

TEST_CASE("Channels are averaged") {
  const Folder folder;
  const std::vector<float> samples = sound(16000, 0.2);
  for (const int channels : {2, 3, 6}) {
    const auto audio = read(
        encode(folder, "many.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_24, 16000, channels, samples));
    REQUIRE(audio.ok());
    CHECK(audio->source_channels == static_cast<std::uint32_t>(channels));
    CHECK(audio->samples.size() == samples.size());
    CHECK(largest_difference(audio->samples, samples) < 1e-6);
  }
  std::string different;
  for (const int value : {16384, 0, -16384, 16384}) {
    put(different, static_cast<std::uint32_t>(value), 2);
  }
  const auto audio = read(folder.write("two.wav", wav(2, 16000, different, 8)));
  REQUIRE(audio.ok());
  CHECK(audio->samples == std::vector<float>{0.25F, 0.0F});
}

TEST_CASE("Other rates are converted") {
  const Folder folder;
  const std::vector<float> wanted = sound(16000, 2);
  for (const int rate : {8000, 11025, 22050, 44100, 48000, 96000}) {
    INFO(rate);
    const auto audio =
        read(encode(folder, "rate.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, rate, 1, sound(rate, 2)));
    REQUIRE(audio.ok());
    CHECK(audio->source_rate == static_cast<std::uint32_t>(rate));
    CHECK(std::abs(static_cast<double>(audio->samples.size()) - 32000.0) <= 1);
    // The tones are those of the sound made at 16 kHz, but for the ends.
    CHECK(largest_difference(audio->samples, wanted, 400) < 1e-4);
  }
  // And a tone that 16 kHz cannot carry is gone.
  std::vector<float> high;
  for (int i = 0; i < 48000; ++i) {
    high.push_back(static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * 12000 * i / 48000)));
  }
  const auto audio =
      read(encode(folder, "high.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 48000, 1, high));
  REQUIRE(audio.ok());
  double loudest = 0;
  for (std::size_t i = 400; i + 400 < audio->samples.size(); ++i) {
    loudest = std::max(loudest, std::abs(double{audio->samples[i]}));
  }
  CHECK(loudest < 1e-4);
}

TEST_CASE("Standard input is read like a file") {
  const Folder folder;
  const std::string path =
      encode(folder, "a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 44100, 2, sound(44100, 1));
  const auto file = read(path);
  REQUIRE(file.ok());
  const StandardInput input(path);
  const auto piped = read("-");
  REQUIRE(piped.ok());
  CHECK(piped->samples == file->samples);
}

TEST_CASE("What is no audio is said to be none") {
  const Folder folder;
  CHECK(refusal(folder.file("missing.wav")).code == ErrorCode::not_found);
  CHECK(refusal(folder.file("")).message.find("folder") != std::string::npos);
  CHECK(refusal(folder.write("empty.wav", "")).message == "is empty");
  CHECK(refusal(folder.write("text.wav", "This is a letter, not a sound.\n"))
            .message.find("no audio file") != std::string::npos);
  std::string noise;
  for (unsigned i = 0; i < 5000; ++i) noise += static_cast<char>(i * i * 7919 >> 5 & 255);
  CHECK(refusal(folder.write("noise.mp3", noise)).code == ErrorCode::format);
  for (const std::string head : {"RIFF", "RIFFxxxxWAVE", "fLaC", "OggS", "FORM", "ID3", "caff"}) {
    INFO(head);
    (void)refusal(folder.write("head", head));
    (void)refusal(folder.write("head", head + noise));
  }
  CHECK(refusal(folder.write("none.wav", wav(1, 16000, "", 0))).message == "holds no sound");
}

TEST_CASE("Headers that claim what nothing has") {
  const Folder folder;
  const std::string samples = some_samples(1000);
  CHECK(refusal(folder.write("a.wav", wav(0, 16000, samples, 2000))).code == ErrorCode::format);
  CHECK(refusal(folder.write("a.wav", wav(65, 16000, samples, 2000))).message.find("65 channels") !=
        std::string::npos);
  CHECK(refusal(folder.write("a.wav", wav(60000, 16000, samples, 2000))).code == ErrorCode::format);
  CHECK(refusal(folder.write("a.wav", wav(1, 0, samples, 2000))).code == ErrorCode::format);
  CHECK(refusal(folder.write("a.wav", wav(1, 999, samples, 2000)))
            .message.find("999 samples per second") != std::string::npos);
  CHECK(refusal(folder.write("a.wav", wav(1, 4'000'000'000, samples, 2000))).code ==
        ErrorCode::format);
  const Error cut = refusal(folder.write("a.wav", wav(1, 16000, samples, 1'000'000)));
  CHECK(cut.message == "is cut off: 2,000 of 1,000,000 bytes of sound are there");
  // Lengths that programs write who do not know it yet.
  for (const std::uint32_t unknown : {0xffffffffU, 0x7ffff000U, 0x7fffffffU}) {
    const auto audio = read(folder.write("pipe.wav", wav(1, 16000, samples, unknown)));
    INFO(unknown);
    REQUIRE(audio.ok());
    CHECK(audio->samples.size() == 1000);
  }
}

TEST_CASE("Files that are cut off are noticed") {
  const Folder folder;
  const std::vector<float> samples = sound(16000, 3);
  for (const auto& [name, format] :
       std::vector<std::pair<std::string, int>>{{"a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16},
                                                {"a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
                                                {"a.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16},
                                                {"a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS}}) {
    const std::string whole = slurp(encode(folder, name, format, 16000, 1, samples));
    for (const double part : {0.98, 0.5, 0.2}) {
      INFO(name << " " << part);
      const auto size = static_cast<std::size_t>(static_cast<double>(whole.size()) * part);
      const Error error = refusal(folder.write("cut-" + name, whole.substr(0, size)));
      CHECK(error.code == ErrorCode::format);
    }
  }
}

TEST_CASE("No cut or changed byte does harm") {
  const Folder folder;
  const std::vector<float> samples = sound(16000, 0.05);
  for (const auto& [name, format] :
       std::vector<std::pair<std::string, int>>{{"a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16},
                                                {"a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
                                                {"a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS}}) {
    const std::string whole = slurp(encode(folder, name, format, 16000, 1, samples));
    for (std::size_t i = 0; i < std::min<std::size_t>(whole.size(), 200); ++i) {
      (void)read(folder.write("x", whole.substr(0, i)));
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ 0xff);
      const auto audio = read(folder.write("x", changed), {.max_seconds = 60});
      if (audio) CHECK(audio->samples.size() <= 60 * 16000);
    }
  }
}

TEST_CASE("Sound that is too long or no number") {
  const Folder folder;
  const std::string path =
      encode(folder, "a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 8000, 1, sound(8000, 3));
  CHECK(read(path, {.max_seconds = 3}).ok());
  const Error error = refusal(path, {.max_seconds = 2.5});
  CHECK(error.message == "holds more than 2.5 s of sound");
  {
    const StandardInput input(path);
    const auto piped = read("-", {.max_input_bytes = 1000});
    REQUIRE_FALSE(piped.ok());
    CHECK(piped.error().context == "standard input");
  }
  std::vector<float> samples = sound(16000, 0.1);
  samples[17] = NAN;
  const Error nan =
      refusal(encode(folder, "nan.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1, samples));
  CHECK(nan.message == "sample 17 is not a finite number");

  std::vector<float> huge(4000, 3e38f);
  for (std::size_t i = 0; i < huge.size(); i += 3) huge[i] = -3e38f;
  const Error large =
      refusal(encode(folder, "huge.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 44100, 1, huge));
  CHECK(large.message ==
        "holds samples too large to convert from 44100 to 16000 samples per second");
}

TEST_CASE("Reading stops when asked to") {
  const Folder folder;
  const std::string path =
      encode(folder, "a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, sound(16000, 20));
  int calls = 0;
  const auto audio =
      read_audio(path, 16000, {}, [&](std::string_view, auto, auto) { return ++calls < 2; });
  REQUIRE_FALSE(audio.ok());
  CHECK(audio.error().code == ErrorCode::interrupted);
  CHECK(calls == 2);
}
