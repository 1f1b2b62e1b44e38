"""Every command that a document shows is run by a test, or stands in a list here with the reason why not.

usage: blocks_test.py PROJECT_FOLDER DOCUMENT...   (the documents whose commands are run)
"""
import pathlib
import re
import sys

# The first line of a block that nobody runs -> why.
NOT_RUN = {
    'make north-star-demo': 'builds everything: make clean-room runs it',
    'export PATH=$PWD/build/release/bin:$PATH': 'PATH is set already; make clean-room uses it',
    "ctest --test-dir build/release -R 'plugin: ' --output-on-failure": 'runs the tests themselves',
    'node tests/runtime/run_wasi.mjs build/wasi/bin/apr-runtime.wasm FOLDER /model/tiny.apr "What is 2+2?"':
        'needs the WASI build; tests/runtime runs the same',
    'cd tests/unit/template/oracle && npm ci': 'needs a network and a folder of one\'s own',
    'python3 tests/errors/errors.py --programs build/release/bin --write': 'a test runs it, and compares instead of writing',
    'apr-pipeline init    FILE                      a commented pipeline to start from': 'a table, not commands',
    'apr content root 1': 'a file format',
}
# docs/cli.md is made from the help pages, whose examples run_examples.py runs; tests/errors runs what errors.md shows.
RUN_ELSEWHERE = {'docs/cli.md', 'docs/errors.md'}

COMMAND = re.compile(r'(\$ )?(apr|apr-pipeline|apr-runtime|make|cmake|ctest|npm|node|export|cd|python3)( |$)'
                     r'|.*\| apr(-pipeline)? |\./[a-z]')


def blocks(text):
    """(kind, lines, line number) of fenced and of indented blocks."""
    kind, lines, start = None, [], 0
    for number, line in enumerate(text.splitlines() + [''], 1):
        fence = line.startswith('```')
        if kind is None and fence:
            kind, lines, start = line[3:].strip(), [], number
        elif kind is None and line.startswith('    '):
            kind, lines, start = 'indented', [line.strip()], number
        elif kind == 'indented' and not line.startswith('    '):
            yield kind, lines, start
            kind = None
        elif kind not in (None, 'indented') and fence:
            yield kind, lines, start
            kind = None
        elif kind is not None:
            lines.append(line.strip())


def main():
    project, run = pathlib.Path(sys.argv[1]), set(sys.argv[2:])
    problems, seen, counted = [], set(), 0
    for path in [project / 'README.md', *sorted((project / 'docs').glob('*.md'))]:
        name = str(path.relative_to(project))
        for kind, lines, number in blocks(path.read_text(encoding='utf-8')):
            if name in RUN_ELSEWHERE or not lines:
                continue
            if kind == 'sh':
                counted += 1
                if name not in run:
                    problems.append(f'{name}:{number}: commands to be run, but no test runs this document')
            elif kind in ('shell', 'bash', 'console', '', 'indented') and COMMAND.match(lines[0]):
                seen.add(lines[0])
                if lines[0] not in NOT_RUN:
                    problems.append(f'{name}:{number}: commands that nobody runs; a block ```sh is run: {lines[0]}')
    problems += [f'no document shows this any more: {line}' for line in NOT_RUN if line not in seen]
    print('\n'.join(problems) or f'{counted} blocks are run, {len(seen)} are not')
    sys.exit(1 if problems or counted == 0 else 0)


main()
