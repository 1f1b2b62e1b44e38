"""Types every example of the programs' help, as printed, and checks that it does what it says.

Every example must end with exit code 0 (or the one its meaning names: "exit code 5"), write the files that it names,
and print JSON where it asks for JSON. What a file holds is checked by its ending. EXPECTED adds what an example must
show beyond that. Every verb and every command needs an example; there are no exemptions.

usage: run_examples.py PROJECT_FOLDER BUILD_FOLDER [PART OF A COMMAND]
"""
import concurrent.futures
import json
import os
import pathlib
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

import example_folder

# Regular expressions for what an example prints; a command that no page shows any more is an error.
EXPECTED = {
    'apr import golden/apr-tiny-chat -o tiny.apr': r'tiny\.apr',
    'apr convert tiny.apr --quantize int4 -o tiny-int4.apr': r'q4_0.*smaller',
    'apr inspect tiny.apr': r'Architecture\s+qwen2',
    'apr inspect tiny-int4.apr --quantization': r'q4_0',
    'apr validate tiny.apr': r'VALID\.',
    'apr lineage tiny-int4.apr --parent tiny.apr': r'import.*convert',
    'apr eval tiny.apr --dataset golden/apr-tiny-chat/golden/eval.txt': r'Perplexity\s+2\.3',
    'apr run tiny.apr "What is 2+2?"': r'^4$',
    "printf 'My name is Anna.\\nWhat is my name?\\n' | apr chat tiny.apr": r'Anna',
    'apr transcribe whisper.apr talk.mp3': r'^h$',
    'apr transcribe whisper.apr rede.wav --language de --task translate': r'^h$',
    'ffmpeg -i film.mkv -f wav - | apr transcribe whisper.apr - --format json': r'"text": ?"h"',
    "apr tokenize tiny.apr 'Hello world'": r'"Hello"',
    'apr-pipeline lint pipelines/north-star.yaml': r'0 errors',
    'apr-pipeline logs pipelines/north-star.yaml chat': r'^4$',
    'apr-runtime tiny.apr "What is 2+2?"': r'^4$',
}

# What somebody types into a program that asks for it, and what must then be on the screen.
TYPED = {'apr chat tiny.apr': [('What is 2+2?', '4'), ('/quit', '')]}

WRITES = {'-o', '--output', '--html', '--junit', '--npy', '>'}


def words_of(command):
    """The words of a command; operators of the shell are words of their own."""
    return list(shlex.shlex(command, posix=True, punctuation_chars=True))


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_json(text, what):
    try:
        json.loads(text)
    except ValueError as error:
        raise Failure(f'{what} is not one JSON document: {error}\n{text[:2000]}') from None


def check_json_lines(text, what):
    check(text.strip(), f'{what} is empty')
    for line in text.splitlines():
        check_json(line, f'{what}: a line')


def check_tool(*command):
    if shutil.which(command[0]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        check(done.returncode == 0, f'{" ".join(map(str, command))}: {done.stderr}')


def check_file(path):
    check(path.exists(), f'{path.name} was not written')
    if path.is_dir():
        check(any(path.iterdir()), f'{path.name} is empty')
        return
    data = path.read_bytes()
    check(data, f'{path.name} is empty')
    kind = path.suffix
    if kind == '.json':
        check_json(data.decode(), path.name)
    elif kind == '.jsonl':
        check_json_lines(data.decode(), path.name)
    elif kind == '.xml':
        xml.etree.ElementTree.fromstring(data)
    elif kind == '.html':
        check(data.lower().startswith(b'<!doctype html'), f'{path.name} is no HTML')
    elif kind == '.npy':
        check(data.startswith(b'\x93NUMPY'), f'{path.name} is no array')
    elif kind == '.apr':
        check(data.startswith(b'APR'), f'{path.name} is no model')
    elif kind == '.srt':
        check(re.match(rb'1\n\d\d:\d\d:\d\d,\d{3} --> ', data), f'{path.name} holds no subtitles')
    elif kind == '.dot':
        check_tool('dot', '-Tsvg', '-o', os.devnull, path)
    elif kind == '.bash':
        check_tool('bash', '-n', path)
    elif kind in ('.yaml', '.yml', '.npz'):
        pass
    else:
        raise Failure(f'how to check {path.name}? say it in check_file')


class Examples:
    def __init__(self, project, build, folder):
        self.project, self.build, self.folder = project, build, folder
        self.base = folder / 'base'
        self.base.mkdir()
        self.environment = {'PATH': f'{build}/bin:{self.base}/bin:{os.environ["PATH"]}', 'HOME': str(folder),
                            'COLUMNS': '100', 'LC_ALL': 'C.UTF-8', 'TERM': 'xterm'}
        example_folder.make(self.base, project, build)
        self.after_run = folder / 'after-run'  # what apr-pipeline's examples look at
        subprocess.run(['cp', '-a', self.base, self.after_run], check=True)
        self.program('apr-pipeline', 'run', 'pipelines/north-star.yaml', cwd=self.after_run)

    def program(self, *words, cwd=None):
        return subprocess.run([self.build / 'bin' / words[0], *words[1:]], cwd=cwd or self.folder,
                              env=self.environment, capture_output=True, text=True, timeout=120, check=True).stdout

    def all(self):
        """(program, verb, [(command, meaning)]) of everything that the programs can do."""
        for program, list_name in [('apr', 'verbs'), ('apr-pipeline', 'commands')]:
            for verb in json.loads(self.program(program, 'help', '--json'))[list_name]:
                yield program, verb['name'], [(e['command'], e['meaning']) for e in verb['examples']]
        page = self.program('apr-runtime', '--help')
        found = re.findall(r'^  # (.*)\n  (.*apr-runtime .*)$', page, re.M)
        yield 'apr-runtime', '', [(command, meaning) for meaning, command in found]

    def fresh_folder(self, number, program, verb):
        folder = self.folder / f'example-{number}'
        folder.mkdir()
        # What a run has left, except that a run replaces only what was put there in the same folder.
        copied = [] if program != 'apr-pipeline' else ['pipelines'] if verb in ('run', 'resume') else ['pipelines', 'out']
        for path in self.base.iterdir():
            if path.name not in copied:
                (folder / path.name).symlink_to(path)  # what exists is only read
        for name in copied:
            subprocess.run(['cp', '-a', self.after_run / name, folder / name], check=True)
        return folder

    def through_pipes(self, command, folder):
        done = subprocess.run(['bash', '-c', f'set -o pipefail; {command}'], cwd=folder, env=self.environment,
                              input=b'Hello world\n', capture_output=True, timeout=120, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode('utf-8', 'replace')

    def in_terminal(self, command, folder):
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execvpe('bash', ['bash', '-c', command], self.environment)
        screen = b''
        try:
            for keys, answer in TYPED[command]:
                start = len(screen)
                os.write(terminal, keys.encode() + b'\r')
                end = time.monotonic() + 60
                while time.monotonic() < end:
                    if not select.select([terminal], [], [], 0.1)[0]:
                        continue
                    try:
                        data = os.read(terminal, 65536)
                    except OSError:  # it has ended
                        break
                    screen += data
                    if answer and re.search(rf'(^|[\r\n]).*(?<!\w){answer}\r?\n',
                                            screen[start:].decode('utf-8', 'replace').split(keys)[-1]):
                        break
                else:
                    raise Failure(f'{answer!r} did not appear:\n{screen.decode("utf-8", "replace")}')
        finally:
            os.close(terminal)  # a program that still waits for keys gets SIGHUP
            _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), screen.decode('utf-8', 'replace'), ''

    def run(self, number, program, verb, command, meaning):
        folder = self.fresh_folder(number, program, verb)
        words = words_of(command)
        options = WRITES | ({'--export'} if 'trace' in words else set())
        outputs = [folder / after for word, after in zip(words, words[1:]) if word in options]
        for path in outputs:
            path.unlink(missing_ok=True)
        runner = self.in_terminal if command in TYPED else self.through_pipes
        code, out, err = runner(command, folder)
        try:
            said = re.search(r'exit code (\d+)', meaning)
            wanted = int(said.group(1)) if said else 0
            check(code == wanted, f'exit code {code}, wanted {wanted}')
            for path in outputs:
                check_file(path)
            if not outputs:
                check(out, 'nothing was printed')
            if '>' not in words:
                if '--json' in words or any(pair == ('--format', 'json') for pair in zip(words, words[1:])):
                    (check_json_lines if 'chat' in words else check_json)(out, 'standard output')
            check(re.search(EXPECTED.get(command, ''), out, re.M | re.S),
                  f'standard output does not show {EXPECTED.get(command)!r}')
        except Failure as failure:
            raise Failure(f'{failure}\nstandard output:\n{out[-3000:]}\nstandard error:\n{err[-3000:]}') from None
        shutil.rmtree(folder)


def main():
    project, build = [pathlib.Path(word).resolve() for word in sys.argv[1:3]]
    part = sys.argv[3] if len(sys.argv) > 3 else ''
    problems, jobs, shown = [], [], set()
    with tempfile.TemporaryDirectory(prefix='apr-examples-') as name:
        examples = Examples(project, build, pathlib.Path(name).resolve())
        for program, verb, list_of_examples in examples.all():
            if not list_of_examples:
                problems.append(f'{program} {verb} has no example')
            for command, meaning in list_of_examples:
                shown.add(command)
                if f'{program} {verb}'.strip() not in command:
                    problems.append(f'the example does not show {program} {verb}: {command}')
                if part in command:
                    jobs.append((program, verb, command, meaning))
        for command in [*EXPECTED, *TYPED]:
            if command not in shown:
                problems.append(f'no help page shows this command any more: {command}')
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            futures = {pool.submit(examples.run, i, *job): job for i, job in enumerate(jobs)}
            for future in concurrent.futures.as_completed(futures):
                try:
                    future.result()
                except (Failure, subprocess.TimeoutExpired) as failure:
                    problems.append(f'$ {futures[future][2]}\n{failure}')
    print('\n\n'.join(problems) or f'{len(jobs)} examples')
    sys.exit(1 if problems or not jobs else 0)


main()
