"""Does what a document says, in an empty folder, and compares what it shows.

Fenced blocks are told apart by their first line:

  ```sh               commands; each line must end with exit code 0
  ```text             right after a ```sh block: lines of its output, in this order; … stands for anything, and
                      a line may be the middle of one
  ```cpp FILE         the content of FILE (any language followed by a file name)

Other blocks are for reading only; blocks_test.py holds the list of commands among them. README.md begins with golden/ and
pipelines/ of the project, the other documents with all the files that examples name. The built programs are in PATH,
and $APR_PREFIX is a folder where apr is installed (made when a document asks for it).

usage: run_document.py DOCUMENT PROJECT_FOLDER BUILD_FOLDER
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import example_folder

BLOCK = re.compile(r'^```([^\n]*)\n(.*?)^```$', re.M | re.S)


def fail(message):
    print(message)
    sys.exit(1)


def expected_line(line):
    return '.*'.join(re.escape(part) for part in re.split(r'\s*…\s*', re.sub(r'[ \t]+', ' ', line.strip())))


def check_output(place, shown, output):
    """Every line shown must be found, each after the one before."""
    rest = re.sub(r'[ \t]+', ' ', output)
    for line in shown.strip().splitlines():
        found = re.search(expected_line(line), rest)
        if not found:
            fail(f'{place}: the output does not show, or not in this place:\n  {line}\n'
                 f'the output is:\n{output}')
        rest = rest[found.end():]


def main():
    document, project, build = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]).resolve()
    text = (project / document).read_text(encoding='utf-8')
    with tempfile.TemporaryDirectory() as folder_name:
        folder = pathlib.Path(folder_name).resolve()
        work = folder / 'work'
        work.mkdir()
        if document == 'README.md':
            for shared in ('golden', 'pipelines'):  # copies: pipelines write beside themselves
                subprocess.run(['cp', '-r', project / shared, work / shared], check=True)
        else:
            example_folder.make(work, project, build)
            for name in re.findall(r'^apr .* -o (\S+)', text, re.M):  # what the document makes itself
                (work / name).unlink(missing_ok=True)
        environment = {'PATH': f'{build}/bin:{os.environ["PATH"]}', 'HOME': str(folder), 'COLUMNS': '100',
                       'LC_ALL': 'C.UTF-8', 'APR_DATASETS': str(work / 'datasets'), 'CXX': os.environ.get('CXX', 'g++')}
        if 'APR_PREFIX' in text:
            environment['APR_PREFIX'] = str(folder / 'prefix')
            subprocess.run(['cmake', '--install', build, '--prefix', folder / 'prefix'],
                           check=True, stdout=subprocess.DEVNULL)
        commands = 0
        previous = None  # output of the block just before
        for match in BLOCK.finditer(text):
            kind, body = match.group(1).split(), match.group(2)
            place = f'{document}:{text.count(chr(10), 0, match.start()) + 1}'
            if kind == ['sh']:
                done = subprocess.run(['/bin/sh', '-ex'], input=body, text=True, cwd=work, env=environment,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=500, check=False)
                if done.returncode != 0:
                    fail(f'{place}: exit code {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}')
                commands += len(re.findall(r'^\+ ', done.stderr, re.M))
                previous = done.stdout + done.stderr
            elif kind == ['text']:
                if previous is None:
                    fail(f'{place}: no commands before this output')
                check_output(place, body, previous)
            elif len(kind) == 2:
                target = work / kind[1]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(body, encoding='utf-8')
        if commands == 0:
            fail(f'{document}: no commands found')
        print(f'{document}: {commands} commands')


main()
