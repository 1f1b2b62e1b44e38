"""BERT's way from text to pieces, written down once more for comparison: the basic tokenizer (cleaning, ideographs,
accents, lower case, white space, punctuation) and longest-match-first WordPiece.

    wordpiece_reference.py VOCAB CLEAN IDEOGRAPHS ACCENTS LOWER MAX_CHARACTERS < texts > ids

Switches are 0 or 1. VOCAB has a token a line; standard input has texts as hexadecimal UTF-8, one a line; so has the
output the ids, or "unknown" for a text with characters that this Python's Unicode does not know.
"""
import sys
import unicodedata

IDEOGRAPHS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
              (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0x2F800, 0x2FA1F))
SPACES = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}


def is_control(char):
    return char not in "\t\n\r" and unicodedata.category(char) in ("Cc", "Cf", "Co")


def is_punctuation(char):
    return char in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" or unicodedata.category(char).startswith("P")


def normalized(text, clean, ideographs, accents, lower):
    if clean:
        text = "".join(" " if c in SPACES else c for c in text if c not in "\0\ufffd" and not is_control(c))
    if ideographs:
        text = "".join(" %s " % c if any(a <= ord(c) <= b for a, b in IDEOGRAPHS) else c for c in text)
    if accents:
        text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return "".join(c.lower() for c in text) if lower else text  # one by one: a final sigma is like any other


def words(text):
    word = ""
    for char in text + " ":
        if char in SPACES or is_punctuation(char):
            if word:
                yield word
            word = ""
            if char not in SPACES:
                yield char
        else:
            word += char


def pieces(word, vocabulary, limit):
    if len(word) > limit:
        return ["[UNK]"]
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        found.append(piece)
        start = end
    return found


def main():
    with open(sys.argv[1], encoding="utf-8", newline="\n") as file:
        lines = file.read().split("\n")
    ids = {token: i for i, token in enumerate(lines) if token}
    vocabulary = set(ids) - {"[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"}
    switches = [a == "1" for a in sys.argv[2:6]]
    for line in sys.stdin.read().split("\n")[:-1]:
        text = bytes.fromhex(line).decode("utf-8")
        if any(unicodedata.category(c) == "Cn" for c in text):
            print("unknown")
            continue
        found = [p for w in words(normalized(text, *switches)) for p in pieces(w, vocabulary, int(sys.argv[6]))]
        print(" ".join(str(ids[p]) for p in found))


main()
