"""apr transcribe, with the small Whisper checkpoint of the larger test data."""
import array
import json
import math
import shutil
import signal
import subprocess
import wave

import framework

TEXT = " fall beep fly wind ring low"
IDS = [272, 310, 391, 346, 272, 384, 262, 398, 290, 292, 270, 284]


def whisper():
    return framework.shared("arch") / "tiny-whisper"


def recording():
    return whisper() / "golden" / "chirps.wav"


def samples():
    with wave.open(str(recording())) as file:
        return array.array("h", file.readframes(file.getnframes()))


def write(path, values, rate=16000, channels=1, width=2):
    """Values of 16 bits as a WAV file of any width; every channel is the same."""
    data = bytearray()
    for value in values:
        if width == 1:
            one = bytes([(value >> 8) + 128])
        else:
            one = (value << 8 * (width - 2)).to_bytes(width, "little", signed=True)
        data += one * channels
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def resampled(values, rate):
    """To another rate, by a windowed sinc (16 lobes a side)."""
    out = []
    for i in range(len(values) * rate // 16000):
        at = i * 16000 / rate
        middle = int(at)
        total = 0.0
        for k in range(max(0, middle - 15), min(len(values), middle + 17)):
            x = at - k
            if abs(x) < 16:
                total += values[k] * (math.sin(math.pi * x) / (math.pi * x) if x else 1.0) * \
                    (0.5 + 0.5 * math.cos(math.pi * x / 16))
        out.append(max(-32768, min(32767, round(total))))
    return out


def copy_of_model(t, **fields):
    """The checkpoint with changed fields of preprocessor_config.json; the file removed for None."""
    folder = t.path("model")
    shutil.copytree(whisper(), folder, ignore=shutil.ignore_patterns("golden"))
    for path in [folder, *folder.iterdir()]:
        path.chmod(0o755)
    path = folder / "preprocessor_config.json"
    config = json.loads(path.read_text())
    config.update(fields)
    path.write_text(json.dumps(config))
    return folder


def test_the_recording_is_understood(t):
    t.equal(t.ok("transcribe", whisper(), recording()).out, TEXT.strip() + "\n")
    t.equal(t.ok("transcribe", whisper(), recording(), "--language", "en").out, TEXT.strip() + "\n")


def test_imported_and_quantized(t):
    t.ok("import", whisper(), "-o", "w.apr")
    t.equal(t.ok("transcribe", "w.apr", recording()).out, TEXT.strip() + "\n")
    t.ok("convert", "w.apr", "--quantize", "int8", "-o", "w8.apr")
    t.equal(t.ok("transcribe", "w8.apr", recording()).out, TEXT.strip() + "\n")


def test_tokens_are_the_reference_implementations(t):
    for words in ([], ["--mode", "exact"], ["--mode", "exact", "--backend", "reference"], ["--threads", 1]):
        report = t.json("transcribe", whisper(), recording(), *words)
        t.equal(report["segments"][0]["tokens"], IDS, f"tokens with {words}")
        t.equal(report["text"], TEXT, "text")
        t.equal((report["language"], report["duration"], report["audio_channels"]), ("en", 3.0, 1))
        t.check(report["segments"][0]["avg_logprob"] > -0.2, "the model is not sure", None)
    golden = json.loads((whisper() / "golden" / "golden.json").read_text())
    t.equal(IDS, golden["true_ids"])


def test_beams(t):
    for beam in (2, 5):
        report = t.json("transcribe", whisper(), recording(), "--beam", beam, "--mode", "exact")
        t.equal(report["segments"][0]["tokens"], IDS, f"tokens with {beam} beams")


def test_other_rates_channels_and_widths(t):
    values = samples()
    for name, rate, channels, width in [("stereo.wav", 16000, 2, 2), ("24.wav", 16000, 1, 3), ("32.wav", 16000, 2, 4),
                                        ("48.wav", 48000, 2, 3), ("44.wav", 44100, 1, 2)]:
        there = values if rate == 16000 else resampled(values, rate)
        report = t.json("transcribe", whisper(), write(t.path(name), there, rate, channels, width))
        t.equal(report["text"], TEXT, f"text of {name}")
        t.equal((report["audio_rate"], report["audio_channels"]), (rate, channels))
        t.equal(report["duration"], 3.0, f"length of {name}")


def test_standard_input(t):
    run = t.ok("transcribe", whisper(), "-", stdin=recording().read_bytes())
    t.equal(run.out, TEXT.strip() + "\n")
    t.fails(4, "transcribe", whisper(), "-", stdin="", says=["standard input", "is empty"])


def test_long_sound_is_read_in_chunks(t):
    values = samples()
    chunk = values + array.array("h", [0] * (480000 - len(values)))
    report = t.json("transcribe", whisper(), write(t.path("long.wav"), chunk + chunk + values))
    t.equal(report["text"], TEXT * 3)
    t.equal([(s["start"], s["end"]) for s in report["segments"]], [(0.0, 30.0), (30.0, 60.0), (60.0, 63.0)])
    t.equal([s["tokens"] for s in report["segments"]], [IDS] * 3)
    lines = t.ok("transcribe", whisper(), "long.wav").out.splitlines()
    t.equal(lines, [TEXT.strip()] * 3)
    srt = t.ok("transcribe", whisper(), "long.wav", "--format", "srt").out
    t.contains(srt, "3\n00:01:00,000 --> 00:01:03,000\n" + TEXT.strip() + "\n\n")


def test_formats(t):
    one = ["transcribe", whisper(), recording()]
    t.equal(t.ok(*one, "--format", "srt").out, f"1\n00:00:00,000 --> 00:00:03,000\n{TEXT.strip()}\n\n")
    t.equal(t.ok(*one, "--format", "vtt").out, f"WEBVTT\n\n00:00:00.000 --> 00:00:03.000\n{TEXT.strip()}\n\n")
    transcript = t.ok(*one, "--format", "json").json()
    t.equal((transcript["text"], transcript["language"]), (TEXT, "en"))
    t.equal(t.ok(*one, "--format", "json").out, t.ok(*one, "--format", "json").out, "twice the same")


def test_timestamps(t):
    # The model never learned its timestamps; what it says must still keep to the rules.
    report = t.json("transcribe", whisper(), recording(), "--timestamps")
    t.check(report["timestamps"] and report["segments"], "no segments")
    last = 0
    for segment in report["segments"]:
        t.check(last <= segment["start"] < segment["end"], f"times {segment}")
        last = segment["end"]
        t.check(512 <= segment["tokens"][0] < 600, "a segment begins with a timestamp")
    line = t.ok("transcribe", whisper(), recording(), "--timestamps").out.splitlines()[0]
    t.check(line.startswith("[00:00.") and " --> " in line, line)


def test_output_file(t):
    run = t.ok("transcribe", whisper(), recording(), "-o", "out.txt")
    t.equal((run.out, t.path("out.txt").read_text()), ("", TEXT.strip() + "\n"))
    t.fails(5, "transcribe", whisper(), recording(), "-o", "out.txt", hint="--force")
    t.ok("transcribe", whisper(), recording(), "-o", "out.txt", "--force", "--format", "vtt")
    t.check(t.path("out.txt").read_text().startswith("WEBVTT"), "not replaced")


def test_seed_fixes_what_is_drawn(t):
    one = ["transcribe", whisper(), recording(), "--format", "json", "--temperature", "1", "--best-of", 1]
    found = {t.ok(*one, "--seed", seed).out for seed in range(6)}
    t.check(len(found) > 1, "every seed gave the same")
    t.equal(t.ok(*one, "--seed", 3).out, t.ok(*one, "--seed", 3, "--threads", 1).out)


def test_sound_that_is_none(t):
    model = whisper()
    t.path("letter.wav").write_text("Dear Sir or Madam")
    t.fails(4, "transcribe", model, "letter.wav", says=["letter.wav", "no audio file"])
    t.path("empty.wav").write_bytes(b"")
    t.fails(4, "transcribe", model, "empty.wav", says="is empty")
    t.path("cut.wav").write_bytes(recording().read_bytes()[:50000])
    t.fails(4, "transcribe", model, "cut.wav", says=["cut.wav: is cut off", "49,956 of 96,000"])
    t.fails(3, "transcribe", model, "nowhere.wav", says="nowhere.wav")
    t.fails(3, "transcribe", model, ".", says="is a folder")


def test_models_that_cannot_listen(t):
    t.fails(9, "transcribe", t.tiny(), recording(), says=["qwen2", "speech models"])
    folder = copy_of_model(t)
    (folder / "preprocessor_config.json").unlink()
    t.fails(6, "transcribe", folder, recording(), says="preprocessor_config.json: is missing")


def test_front_ends_that_do_not_fit(t):
    for fields, code, says in [({"feature_size": 128}, 6, ["field feature_size: 128", "num_mel_bins 80"]),
                               ({"chunk_length": 20, "n_samples": 320000, "nb_max_frames": 2000}, 6,
                                ["field chunk_length: 20 s", "max_source_positions"]),
                               ({"feature_extractor_type": "Wav2Vec2FeatureExtractor"}, 9, "feature_extractor_type"),
                               ({"mel_filters": [[0.5]]}, 4, "field mel_filters"), ({"n_fft": "x"}, 4, "field n_fft"),
                               ({"n_samples": 7}, 4, "field n_samples")]:
        folder = copy_of_model(t, **fields)
        t.fails(code, "transcribe", folder, recording(), says=["preprocessor_config.json", *([says] if isinstance(
            says, str) else says)])
        shutil.rmtree(folder)


def test_wrong_words(t):
    one = ["transcribe", whisper(), recording()]
    t.fails(2, *one, "--language", "xx", says="--language xx", hint="de, en, es, fr")
    t.fails(2, *one, "--temperature", "0,warm", says="'warm' is no temperature")
    t.fails(2, *one, "--temperature", "", says="--temperature")
    t.fails(2, *one, "--temperature=-1", says="'-1' is no temperature")
    t.fails(2, *one, "--beam", 0, says="beam")
    t.fails(2, *one, "--beam", 33, says="beam")
    t.fails(2, *one, "--format", "doc", says="format")
    t.fails(2, *one, "--task", "sing", says="task")
    t.fails(2, "transcribe", whisper(), says="AUDIO")


def test_interrupted(t):
    values = samples()
    chunk = values + array.array("h", [0] * (480000 - len(values)))
    path = write(t.path("long.wav"), chunk * 40)
    process = subprocess.Popen([framework.PROGRAM, "transcribe", str(whisper()), str(path)],
                               cwd=t.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    t.equal(process.stdout.readline().decode(), TEXT.strip() + "\n", "the first chunk, while others follow")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    t.equal(process.returncode, 130, "exit code")
    t.contains(err.decode(), "stopped")
    t.check(len(out.splitlines()) < 39, "it went on to the end")


framework.main(globals())
