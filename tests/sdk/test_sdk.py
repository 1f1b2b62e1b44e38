"""Installs apr, builds a plugin against what was installed, and uses it as a stranger would.

usage: test_sdk.py BUILD_FOLDER PROJECT_FOLDER COMPILER
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD, PROJECT = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
COMPILER = sys.argv[3]
CHAT = PROJECT / 'golden/apr-tiny-chat'
EVAL = CHAT / 'golden/eval.txt'


def run(*words, code=0, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=400,
                          check=False, **options)
    if done.returncode != code:
        raise AssertionError(f'{" ".join(map(str, words))}\nexit code {done.returncode}, not {code}\n'
                             f'{done.stdout[-3000:]}{done.stderr[-3000:]}')
    return done


class Sdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        root = pathlib.Path(cls.holder.name).resolve()
        # Installed in one place and moved to another: nothing may depend on where it was.
        run('cmake', '--install', BUILD, '--prefix', root / 'first')
        cls.prefix = root / 'moved'
        (root / 'first').rename(cls.prefix)
        cls.root = root
        cls.environment = {'PATH': os.environ['PATH'], 'HOME': str(root / 'home')}
        cls.plugins = cls.build_plugin('good', '-DSEARCHED_CHECK_HEADERS=ON')
        cls.foreign = cls.build_plugin('foreign', '-DSEARCHED_FOR_ANOTHER_INTERFACE=ON')
        cls.model = root / 'tiny.apr'
        cls.apr('import', CHAT, '-o', cls.model)

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    @classmethod
    def build_plugin(cls, name, *options):
        source = cls.root / 'source'
        if not source.exists():
            shutil.copytree(PROJECT / 'tests/sdk/searched', source)
        build = cls.root / name
        run('cmake', '-S', source, '-B', build, '-G', 'Ninja', f'-DCMAKE_PREFIX_PATH={cls.prefix}',
            f'-DCMAKE_CXX_COMPILER={COMPILER}', '-DCMAKE_BUILD_TYPE=Release', *options,
            env=cls.environment)
        run('cmake', '--build', build, env=cls.environment)
        return build / 'plugins'

    @classmethod
    def apr(cls, *words, code=0, **environment):
        return run(cls.prefix / 'bin/apr', *words, code=code, cwd=cls.root,
                   env={**cls.environment, **environment})

    def test_the_tree_is_what_the_manual_says(self):
        for path in ('bin/apr', 'bin/apr-pipeline', 'bin/apr-plugin-manifest', 'bin/apr-runtime',
                     'lib/libapr.so', 'lib/libapr.a', 'lib/apr/plugins/libapr_quantizer_block.so',
                     'lib/apr/plugins/libapr_quantizer_block.json', 'include/apr/core/plugin/plugin.h',
                     'lib/cmake/apr/aprConfig.cmake', 'lib/cmake/apr/AprPlugin.cmake'):
            self.assertTrue((self.prefix / path).exists(), path)
        for path in self.prefix.rglob('*.cmake'):  # no path of the building machine
            self.assertNotIn(str(PROJECT), path.read_text(), path)
            self.assertNotIn(str(self.root / 'first'), path.read_text(), path)

    def test_the_installed_plugins_are_sound(self):
        plugins = json.loads(self.apr('plugins', 'list', '--json').stdout)['plugins']
        self.assertGreaterEqual(len(plugins), 7)
        for plugin in plugins:
            self.assertIsNone(plugin['refusal'], plugin)
        self.apr('plugins', 'verify')

    def test_without_the_plugin_its_scheme_is_unknown(self):
        done = self.apr('convert', self.model, '--quantize', 'q4_0_searched', '-o', 'x.apr', code=3)
        self.assertIn('q4_0_searched', done.stderr)
        self.assertFalse((self.root / 'x.apr').exists())

    def test_the_plugin_quantizes_better_than_plain_q4_0(self):
        self.apr('convert', self.model, '--quantize', 'q4_0', '-o', 'plain.apr')
        self.apr('convert', '--plugin-path', self.plugins, self.model, '--quantize', 'q4_0_searched',
                 '-o', 'searched.apr')
        kld = {}
        for name in ('plain', 'searched'):
            report = json.loads(self.apr('inspect', f'{name}.apr', '--quantization', '--json').stdout)
            self.assertEqual(report['quantization']['type'].lower(), 'q4_0', report)
            report = json.loads(self.apr('eval', f'{name}.apr', '--dataset', EVAL, '--against',
                                         self.model, '--limit', '30', '--json').stdout)
            kld[name] = report['mean_kld']
        self.assertLess(kld['searched'], kld['plain'])
        # Written once, read without the plugin: what it stores is plain Q4_0.
        self.assertEqual(self.apr('run', 'searched.apr', 'What is 2+2?').stdout.strip(), '4')

    def test_the_lineage_names_the_plugin(self):
        self.apr('convert', self.model, '--quantize', 'q4_0_searched', '-o', 'lineage.apr',
                 APR_PLUGIN_PATH=str(self.plugins))
        self.assertIn(b'searched 1.0.0', (self.root / 'lineage.apr').read_bytes())

    def test_the_plugin_works_in_a_pipeline(self):
        folder = self.root / 'pipeline'
        folder.mkdir()
        shutil.copy(PROJECT / 'tests/sdk/pipeline.yaml', folder)
        words = (self.prefix / 'bin/apr-pipeline', 'run', folder / 'pipeline.yaml',
                 '--set', f'source={CHAT}', '--set', f'text={EVAL}')
        failed = run(*words, code=3, cwd=folder, env=self.environment)
        self.assertIn('q4_0_searched', failed.stderr + failed.stdout)
        run(*words, '--plugin-path', self.plugins, cwd=folder, env=self.environment)
        self.assertTrue((folder / 'searched.apr').exists())

    def test_a_copy_for_another_interface_is_refused(self):
        for place in (['--plugin-path', self.foreign], []):
            environment = {} if place else {'APR_PLUGIN_PATH': str(self.foreign)}
            done = self.apr('convert', *place, self.model, '--quantize', 'q4_0_searched', '-o', 'y.apr',
                            code=6, **environment)
            for text in ('searched', 'interface 4711', 'rebuild'):
                self.assertIn(text, done.stderr)
            self.assertFalse((self.root / 'y.apr').exists())
        plugins = json.loads(self.apr('plugins', 'list', '--json', '--plugin-path', self.foreign).stdout)
        refused = [p for p in plugins['plugins'] if p['refusal']]
        self.assertEqual([p['name'] for p in refused], ['searched'])
        # The others work all the same.
        self.apr('convert', '--plugin-path', self.foreign, self.model, '--quantize', 'q8_0', '-o', 'z.apr')

    def test_a_changed_library_is_noticed(self):
        copy = self.root / 'changed'
        shutil.copytree(self.plugins, copy)
        self.apr('plugins', 'verify', 'searched', '--plugin-path', copy)
        with open(copy / 'libapr_searched.so', 'ab') as library:
            library.write(b'!')
        done = self.apr('plugins', 'verify', 'searched', '--plugin-path', copy, code=5)
        self.assertIn('SHA-256', done.stdout + done.stderr)
        self.apr('convert', '--plugin-path', copy, self.model, '--quantize', 'q4_0_searched',
                 '-o', 'w.apr', code=5)

    def test_an_installed_plugin_is_found(self):
        prefix = self.root / 'with_plugin'
        shutil.copytree(self.prefix, prefix, symlinks=True)
        run('cmake', '--install', self.root / 'good', '--prefix', prefix, env=self.environment)
        run(prefix / 'bin/apr', 'convert', self.model, '--quantize', 'q4_0_searched', '-o', 'v.apr',
            cwd=self.root, env=self.environment)

    def test_a_folder_of_plugins_is_not_searched_because_one_stands_in_it(self):
        run(self.prefix / 'bin/apr', 'convert', self.model, '--quantize', 'q4_0_searched', '-o', 'u.apr',
            code=3, cwd=self.plugins, env=self.environment)


unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=1)
