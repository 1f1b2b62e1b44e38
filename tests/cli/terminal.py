"""A program in a pseudo-terminal, and what its screen shows in the end."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios


def watch(words, folder, columns=80, **environment):
    """Runs a program with all its streams on a terminal; returns (exit code, everything it wrote)."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen([str(word) for word in words], cwd=folder, stdin=child, stdout=child, stderr=child,
                               env={**inherited, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment})
    os.close(child)
    text = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        text += piece
    os.close(parent)
    return process.wait(timeout=600), text.decode()


def screen(text, columns=80):
    """The lines a terminal would show, for the few control sequences that bars need. Long lines wrap."""
    lines, row, column = [[]], 0, 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", text, re.DOTALL):
        if piece == "\n":
            row += 1
        elif piece == "\r":
            column = 0
        elif piece == "\x1b[K":
            del lines[row][column:]
        elif piece == "\x1b[2K":
            lines[row] = []
        elif piece.startswith("\x1b[") and piece.endswith("A"):
            row = max(0, row - int(piece[2:-1] or 1))
        elif piece.startswith("\x1b["):
            if not piece.endswith("m"):
                raise ValueError(f"a control sequence that nobody expected: {piece!r}")
        else:
            if column == columns:
                row, column = row + 1, 0
            while len(lines) <= row:
                lines.append([])
            lines[row] += [" "] * (column + 1 - len(lines[row]))
            lines[row][column] = piece
            column += 1
        while len(lines) <= row:
            lines.append([])
    return ["".join(line).rstrip() for line in lines]
