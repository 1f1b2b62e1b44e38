"""Where the sources make errors: every call of make_error, of a helper that returns an Error, and of the pipeline's
and the parsers' own complaints, with the longest piece of fixed text in it.

The piece is what a message of that place always says, so a printed message can be told to come from it. A place
without fixed text (it passes on what somebody else says) is not listed: its text is listed where it is made.
"""
import pathlib
import re

FOLDERS = ("core", "orchestrator", "plugins", "runtime")
# Complaints that have other names than the helpers found below.
COMMON = {"make_error", "Error"}
METHODS = ["error", "warning", "reject", "malformed"]  # of those who collect complaints
SHORTEST = 7


def strip_comments(text):
    """The text with comments blanked; string literals are kept."""
    pattern = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|//[^\n]*|/\*.*?\*/', re.S)
    return pattern.sub(lambda m: m.group(0) if m.group(0)[0] in "\"'" else
                       re.sub(r"[^\n]", " ", m.group(0)), text)


def helpers_of(text):
    """Names in this file of functions and lambdas that make an Error out of a text."""
    names = set(re.findall(r"^[ \t]*(?:\[\[nodiscard\]\] )?(?:static |inline )?Error (\w+)\(", text, re.M))
    for match in re.finditer(r"\bauto (\w+) = \[[^\]]*\]\s*(?:\([^)]*\))?\s*(?:mutable\s*)?(->\s*Error\s*)?(?=\{)", text):
        body = call_at(text, match.end())
        if match.group(2) or "make_error" in body or re.search(r"return (fail|wrong|refuse|malformed)\(", body):
            names.add(match.group(1))
    names |= set(re.findall(r"\b(?:Status|bool|void|Result<[^;{}()]*>|Value) ((?:fail|error|wrong|bad|refuse|complain|"
                            r"mistake|malformed|raise|problem|type_error|damaged|unsupported)\w*)\("
                            r"[^)]*(?:string|Error)", text))
    return names


def call_at(text, start):
    """The text of the call whose opening bracket is at `start`, brackets and literals minded."""
    depth, i = 0, start
    while i < len(text):
        c = text[i]
        if c == '"':
            i = re.compile(r'"(?:\\.|[^"\\])*"').match(text, i).end() - 1
        elif c == "'":
            match = re.compile(r"'(?:\\.|[^'\\])+'").match(text, i)
            i = match.end() - 1 if match else i
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if depth == 0:
                return text[start:i + 1]
        i += 1
    return text[start:]


def literals_of(call):
    """Runs of adjacent string literals, joined, in order."""
    runs = []
    for run in re.findall(r'"(?:\\.|[^"\\])*"(?:\s*"(?:\\.|[^"\\])*")*', call):
        parts = re.findall(r'"((?:\\.|[^"\\])*)"', run)
        text = "".join(parts)
        for escaped, plain in (('\\"', '"'), ("\\n", "\n"), ("\\\\", "\\"), ("\\t", "\t")):
            text = text.replace(escaped, plain)
        runs.append(text)
    return runs


def sites(project):
    """[(file, line, code, key)], key being the longest fixed text of the place's first sentence."""
    found = []
    project = pathlib.Path(project)
    for folder in FOLDERS:
        for path in sorted((project / folder).rglob("*")):
            if path.suffix not in (".cpp", ".h"):
                continue
            text = strip_comments(path.read_text(encoding="utf-8"))
            header = path.with_suffix(".h")
            names = COMMON | helpers_of(text)
            if path.suffix == ".cpp" and header.exists():
                names |= helpers_of(strip_comments(header.read_text(encoding="utf-8")))
            seen_until = -1
            for match in re.finditer(r"(?:\b(?:%s)|\.(?:%s))([({])" % ("|".join(sorted(names)), "|".join(METHODS)), text):
                if match.start() < seen_until:
                    continue
                call = call_at(text, match.end() - 1)
                texts = [t for t in literals_of(call) if len(t.strip()) >= SHORTEST]
                if not texts:
                    continue
                seen_until = match.end() - 1 + len(call)
                code = re.search(r"ErrorCode::(\w+)", call)
                line = text.count("\n", 0, match.start()) + 1
                found.append((str(path.relative_to(project)), line, code.group(1) if code else "", texts))
    return found


def key_of(pieces):
    """What names a place in not_provoked.txt: its fixed texts in one line."""
    return " ... ".join(" ".join(piece.split()) for piece in pieces)


def appears(pieces, printed):
    """Has the place said its sentence? Its first text is the message, what follows may be a context or a hint."""
    longest = max(pieces[:2], key=len) if len(pieces[0].strip()) < 12 else pieces[0]
    return longest.strip() in printed


if __name__ == "__main__":
    import sys
    for file, line, code, texts in sites(sys.argv[1]):
        print(f"{file}:{line} [{code}] " + " | ".join(t.replace("\n", "\\n") for t in texts))
