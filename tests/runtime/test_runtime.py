"""The runtime closure runs anywhere: a fully static program and a WASI module answer alike.

usage: test_runtime.py APR APR_RUNTIME APR_RUNTIME_WASM PROJECT_FOLDER
"""
import os
import subprocess
import sys
import tempfile
import unittest

APR, NATIVE, MODULE, PROJECT = [os.path.abspath(word) for word in sys.argv[1:5]]
HERE = os.path.dirname(os.path.abspath(__file__))
CHAT = os.path.join(PROJECT, 'golden/apr-tiny-chat')
PROMPTS = ['What is 2+2?', 'What is the capital of France?', 'Tell me a short story.', 'äöü € 字 🙂']


def node():
    major = int(subprocess.run(['node', '--version'], capture_output=True, text=True, check=True)
                .stdout.lstrip('v').split('.')[0])
    flags = [] if major >= 20 else ['--experimental-wasi-unstable-preview1']
    return ['node', '--no-warnings', *flags, os.path.join(HERE, 'run_wasi.mjs'), MODULE]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


class Runtime(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = cls.holder.name
        cls.model = os.path.join(cls.folder, 'tiny.apr')
        made = run([APR, 'import', CHAT, '-o', cls.model])
        assert made.returncode == 0, made.stderr
        cls.small = os.path.join(cls.folder, 'small.apr')
        made = run([APR, 'convert', cls.model, '--quantize', 'q4_0', '-o', cls.small])
        assert made.returncode == 0, made.stderr

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def native(self, *words, env=None):
        return run([NATIVE, *words], env={'PATH': '/nowhere', **(env or {})})

    def wasi(self, *words):
        return run([*node(), self.folder, *words])

    def test_the_program_needs_no_other_file(self):
        with open(NATIVE, 'rb') as file:
            elf = file.read()
        self.assertEqual(elf[:5], b'\x7fELF\x02')
        offset = int.from_bytes(elf[32:40], 'little')
        size = int.from_bytes(elf[54:56], 'little')
        count = int.from_bytes(elf[56:58], 'little')
        kinds = [int.from_bytes(elf[at:at + 4], 'little')
                 for at in range(offset, offset + size * count, size)]
        self.assertIn(1, kinds)      # something is loaded,
        self.assertNotIn(2, kinds)   # nothing dynamic,
        self.assertNotIn(3, kinds)   # no interpreter
        with open(APR, 'rb') as file:  # the same reading finds the interpreter of a dynamic program
            dynamic = file.read(4096)
        offset = int.from_bytes(dynamic[32:40], 'little')
        count = int.from_bytes(dynamic[56:58], 'little')
        self.assertIn(3, [int.from_bytes(dynamic[at:at + 4], 'little')
                          for at in range(offset, offset + 56 * count, 56)])

    def test_the_module_imports_wasi_only(self):
        script = ('const m=await WebAssembly.compile(require("fs").readFileSync(process.argv[1]));'
                  'console.log([...new Set(WebAssembly.Module.imports(m).map(i=>i.module))].join())')
        done = run(['node', '-e', f'(async()=>{{{script}}})()', MODULE])
        self.assertEqual(done.stdout.strip(), 'wasi_snapshot_preview1', done.stderr)

    def test_both_know_the_answer(self):
        self.assertEqual(self.native(self.model, 'What is 2+2?').stdout, '4\n')
        done = self.wasi('/model/tiny.apr', 'What is 2+2?')
        self.assertEqual((done.stdout, done.returncode), ('4\n', 0), done.stderr)

    def test_greedy_tokens_are_equal(self):
        for name in ('tiny.apr', 'small.apr'):
            for prompt in PROMPTS:
                words = [prompt, '--ids', '-n', '40']
                expected = self.native(os.path.join(self.folder, name), *words)
                self.assertEqual(expected.returncode, 0, expected.stderr)
                self.assertGreater(len(expected.stdout.split()), 0)
                # The instruction set decides the last bits; these models' answers do not hang on them.
                scalar = self.native(os.path.join(self.folder, name), *words,
                                     env={'APR_CPU': 'scalar'})
                self.assertEqual(scalar.stdout, expected.stdout)
                module = self.wasi('/model/' + name, *words)
                self.assertEqual(module.stdout, expected.stdout, module.stderr)

    def test_drawing_with_a_seed_is_repeatable_and_differs_between_seeds(self):
        def drawn(seed):
            done = self.native(self.model, 'Tell me a short story.', '--temperature', '1.2',
                               '--seed', str(seed), '-n', '30', '--ids')
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout
        self.assertEqual(drawn(1), drawn(1))
        self.assertGreater(len({drawn(seed) for seed in range(6)}), 1)

    def test_a_raw_prompt_is_continued(self):
        done = self.native(self.model, 'Once upon a', '--raw', '-n', '5', '--ids')
        self.assertEqual(len(done.stdout.split()), 5, done.stderr)

    def test_errors_have_a_sentence_and_their_exit_code(self):
        broken = os.path.join(self.folder, 'broken.apr')
        with open(self.model, 'rb') as file:
            data = file.read()
        with open(broken, 'wb') as file:
            file.write(data[:len(data) // 2])
        cases = [
            (['nosuch.apr', 'x'], 3, 'nosuch.apr'),
            (['broken.apr', 'x'], 4, 'broken.apr'),
            (['tiny.apr'], 2, 'MODEL and PROMPT'),
            (['tiny.apr', 'x', '--frobnicate', '3'], 2, '--frobnicate'),
            (['tiny.apr', 'x', '-n', 'many'], 2, 'many'),
            (['tiny.apr', 'x', '--temperature', '-1'], 2, 'temperature'),
            (['tiny.apr', 'x', '--mode', 'quick'], 2, 'quick'),
            (['tiny.apr', 'x', '--context', '100000'], 2, '100000'),
            (['tiny.apr', 'word ' * 3000, '--raw'], 2, 'context'),
            (['tiny.apr', 'x', '--backend', 'abacus'], 3, 'abacus'),
        ]
        for words, code, text in cases:
            for kind, done in (('native', run([NATIVE, *words], cwd=self.folder)),
                               ('wasi', self.wasi(*['/model/' + w if w.endswith('.apr') else w
                                                    for w in words]))):
                with self.subTest(kind=kind, words=[w[:40] for w in words]):
                    self.assertEqual(done.returncode, code, done.stderr)
                    self.assertIn(text, done.stderr)
                    self.assertEqual(done.stdout, '')
                    self.assertRegex(done.stderr, r'^apr-runtime: error: [^\n]+\n(  hint: [^\n]+\n)?$')

    def test_a_full_disk_is_an_error(self):
        with open('/dev/full', 'w', encoding='utf-8') as full:
            done = subprocess.run([NATIVE, self.model, 'What is 2+2?'], stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 7, done.stderr)

    def test_help_names_every_option(self):
        done = self.native('--help')
        self.assertEqual(done.returncode, 0)
        for option in ('-n', '--raw', '--system', '--context', '--temperature', '--top-k', '--top-p',
                       '--seed', '--mode', '--backend', '--threads', '--allow-synthetic', '--ids'):
            self.assertIn(option, done.stdout)


unittest.main(argv=[sys.argv[0]], verbosity=1)
