import struct

from case import case
from fixtures import bert, file, folder, tiny, wav, whisper

TITLE = "Speech"


def t(wrong, options, code, *more):
    return case(wrong, f"apr transcribe whisper {options}", code, whisper(), *more)


def sound(wrong, code, change=None, **values):
    return case(wrong, "apr transcribe whisper speech.wav", code, whisper(), wav(change=change, **values),
                hide=[("can be read: .*", "can be read: (what the library says)")])


def loud(content):
    """The header of float samples in place of 16-bit ones, and samples near the end of what a float can be."""
    body = struct.pack("<4000f", *(3e38 if i % 3 else -3e38 for i in range(4000)))
    return content[:4] + struct.pack("<I", 36 + len(body)) + content[8:20] + struct.pack(
        "<HHIIHH", 3, 1, 44100, 44100 * 4, 4, 32) + b"data" + struct.pack("<I", len(body)) + body


CASES = [
    case("transcribed with a model of text", "apr transcribe tiny.apr speech.wav", 9, tiny, wav()),
    case("asked a speech model for an answer", "apr run whisper hello", 9, whisper()),
    case("asked a speech model for vectors", "apr embeddings whisper hello", 9, whisper()),
    case("traced a speech model without a sound", "apr trace whisper --prompt hello", 2, whisper()),
    t("gave a recording that is not there", "speech.wav", 3),
    t("gave a folder of recordings", "sounds", 3, folder("sounds")),
    t("gave a device as a recording", "/dev/null", 3),
    t("gave an empty recording", "speech.wav", 4, file("speech.wav")),
    t("sent nothing through a pipe", "- < /dev/null", 4),
    t("gave a text as a recording", "notes.txt", 4, file("notes.txt", "Hello " * 50)),
    t("gave a film", "film.mp4", 4, file("film.mp4", b"\0\0\0\x20ftypisom" + bytes(200))),
    sound("gave a recording without sound", 4, seconds=0),
    sound("gave a recording that is cut off", 4, lambda c: c[:-1000]),
    sound("gave a recording that ends in its header", 4, lambda c: c[:30]),
    sound("gave a recording without channels", 4, lambda c: c[:22] + struct.pack("<H", 0) + c[24:]),
    sound("gave a recording of too many channels", 4, lambda c: c[:22] + struct.pack("<H", 2000) + c[24:]),
    sound("gave a recording of one sample per second", 4, lambda c: c[:24] + struct.pack("<I", 1) + c[28:]),
    t("asked for a language that the model does not know", "speech.wav --language fr", 2, wav()),
    t("gave a temperature that is none", "speech.wav --temperature hot", 2, wav()),
    t("gave a task that there is not", "speech.wav --task summarize", 2, wav()),
    t("asked for subtitles of an unknown form", "speech.wav --format ass", 2, wav()),
    t("wrote over a file", "speech.wav -o words.txt", 5, wav(), file("words.txt", "mine")),
    case("lost preprocessor_config.json", "apr transcribe whisper speech.wav", 6, whisper(front=False), wav()),
    case("has another model's preprocessor_config.json", "apr transcribe whisper speech.wav", 6, whisper(front={"feature_size": 128}),
         wav()),
    case("has a preprocessor_config.json of shorter chunks", "apr transcribe whisper speech.wav", 4,
         whisper(front={"chunk_length": 10}), wav()),
    case("has a preprocessor_config.json that hears less at once", "apr transcribe whisper speech.wav", 6,
         whisper(front={"chunk_length": 10, "n_samples": 160000, "nb_max_frames": 1000}), wav()),
    case("has languages that are no object", "apr transcribe whisper speech.wav", 4, whisper(generation={"lang_to_id": []}), wav()),
    case("has a language that is not written as one", "apr transcribe whisper speech.wav", 4,
         whisper(generation={"lang_to_id": {"en": 258}}), wav()),
    case("says multilingual and names no language", "apr transcribe whisper speech.wav", 4,
         whisper(generation={"lang_to_id": {}}), wav()),
    case("has tasks that are no object", "apr transcribe whisper speech.wav", 4, whisper(generation={"task_to_id": []}), wav()),
    case("has a flag that is a text", "apr transcribe whisper speech.wav", 4, whisper(generation={"is_multilingual": "yes"}), wav()),
    case("has a token beyond the vocabulary", "apr transcribe whisper speech.wav", 4,
         whisper(generation={"no_timestamps_token_id": 9999}), wav()),
    case("has suppressed tokens that are a number", "apr transcribe whisper speech.wav", 4,
         whisper(generation={"suppress_tokens": 7}), wav()),
    case("transcribed with an encoder of text", "apr transcribe bert speech.wav", 9, bert(), wav()),
    sound("gave a recording of sixty-five channels", 4, channels=65),
    sound("gave a recording louder than its rate can be converted", 4, loud),
    case("asked for words in another language of an English model", "apr transcribe whisper speech.wav --language de", 2,
         whisper(generation={"is_multilingual": False}), wav()),
    case("lost the token that begins a transcript", "apr transcribe whisper speech.wav", 4,
         whisper(config={"decoder_start_token_id": 10}, generation={"decoder_start_token_id": 10}), wav()),
    case("has timestamps that end before they begin", "apr transcribe whisper speech.wav", 4,
         whisper(generation={"max_initial_timestamp_index": -1}), wav()),
    case("traced a recording that is too long", "apr trace whisper --prompt hello --audio speech.wav", 9, whisper(), wav(seconds=31)),
]
