#!/usr/bin/env python3
"""Writes core/text/jinja/case_table.h: the case mappings of Python's str, packed into ranges.

Usage: scripts/make-case-table.py > core/text/jinja/case_table.h
"""
import unicodedata

CODES = [c for c in range(0x80, 0x110000) if not 0xD800 <= c < 0xE000]


def mapping(function):
    single, special = [], []
    for code in CODES:
        text = function(chr(code))
        if text == chr(code):
            continue
        if len(text) == 1:
            single.append((code, ord(text) - code))
        else:
            special.append((code, text))
    rows, i = [], 0
    while i < len(single):
        best = (i, 1)
        for stride in (1, 2):
            j = i
            while (j + 1 < len(single) and single[j + 1][1] == single[i][1]
                   and single[j + 1][0] == single[j][0] + stride):
                j += 1
            if j > best[0]:
                best = (j, stride)
        rows.append((single[i][0], single[best[0]][0], best[1], single[i][1]))
        i = best[0] + 1
    return rows, special


def ranges(predicate):
    rows = []
    for code in range(0x80, 0x110000):
        if predicate(code):
            if rows and rows[-1][1] == code - 1:
                rows[-1][1] = code
            else:
                rows.append([code, code])
    return rows


def surrogate(code):
    return 0xD800 <= code < 0xE000


def wrapped(cells):
    line = " "
    for cell in cells:
        if len(line) + len(cell) + 2 > 99:
            print(line)
            line = " "
        line += " " + cell + ","
    print(line)


print("// Made by scripts/make-case-table.py from Unicode " + unicodedata.unidata_version + "; not edited by hand.")
print("#pragma once\n\n#include <cstdint>\n#include <string_view>\n\nnamespace apr::jinja {\n")
print("struct CaseRange {\n  std::uint32_t first, last, stride;\n  std::int32_t delta;\n};")
print("struct CaseSpecial {\n  std::uint32_t code;\n  std::string_view text;\n};")
print("struct CodeRange {\n  std::uint32_t first, last;\n};\n")
for name, function in (("Upper", str.upper), ("Lower", str.lower), ("Title", str.title)):
    rows, special = mapping(function)
    print(f"inline constexpr CaseRange k{name}[] = {{")
    wrapped("{%#x, %#x, %d, %d}" % row for row in rows)
    print("};")
    print(f"inline constexpr CaseSpecial k{name}Special[] = {{")
    wrapped('{%#x, "%s"}' % (code, "".join("\\%03o" % b for b in text.encode())) for code, text in special)
    print("};")
for name, predicate in (
        ("Cased", lambda c: not surrogate(c) and (chr(c).isupper() or chr(c).islower() or chr(c).istitle())),
        ("NotPrintable", lambda c: surrogate(c) or not chr(c).isprintable())):
    print(f"inline constexpr CodeRange k{name}[] = {{")
    wrapped("{%#x, %#x}" % tuple(row) for row in ranges(predicate))
    print("};")
print("\n}  // namespace apr::jinja")
