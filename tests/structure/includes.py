#!/usr/bin/env python3
"""Reads the includes of every source and checks where they point.

  core          includes core only
  plugins       include core and their own folder, never one another
  orchestrator  includes core and itself, never a plugin
  runtime       includes core

The runtime closure (core and plugins) includes no threads, no streams and no file system outside
core/platform; public headers bring in no JSON, Boost or YAML library.

usage: includes.py PROJECT_FOLDER
"""
import os
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
SOURCES = ('.h', '.hpp', '.cpp', '.cc', '.inc')
ROOMS = ('core', 'plugins', 'orchestrator', 'runtime')

# What the runtime closure may not have, because wasm32-wasi or a static program does not have it.
NOT_IN_CLOSURE = {'filesystem', 'fstream', 'iostream', 'thread', 'mutex', 'shared_mutex', 'future',
                  'condition_variable', 'dlfcn.h', 'stdexcept', 'regex'}
HEAVY = ('nlohmann/', 'boost/', 'yaml-cpp/', 'tbb/', 'oneapi/')


def is_host(path):
    """The plugin host and the build-time tools are not part of the closure."""
    return path.startswith(('core/plugin/host', 'core/tools/')) or '/generate/' in path


def folder_of_plugin(path):
    return '/'.join(path.split('/')[:3])  # plugins/<kind>/<name>


def complaint(path, quote, target):
    """Why the file may not include this; None if it may."""
    room = path.split('/')[0]
    if quote == '"':
        first = target.split('/')[0]
        if '/' not in target:
            return None if target.endswith('.inc') else 'is not rooted at the project'
        if first not in ROOMS:
            return f'points to {first}/, which the product does not consist of'
        if room == 'core' and first != 'core':
            return 'core includes core only'
        if room == 'plugins' and first == 'plugins':
            if folder_of_plugin(path) != folder_of_plugin(target):
                return 'plugins never include one another; shared code is core\'s'
        elif room == 'plugins' and first != 'core':
            return 'plugins include core and themselves only'
        if room == 'orchestrator' and first not in ('core', 'orchestrator'):
            return 'the orchestrator reaches plugins through the registry only'
        if room == 'runtime' and first not in ('core', 'runtime'):
            return 'the runtime includes core only'
        return None
    closure = room in ('core', 'plugins', 'runtime') and not is_host(path)
    if closure and target in NOT_IN_CLOSURE and not path.startswith('core/platform/'):
        return 'is not for the runtime closure; core/platform has what it needs'
    public_header = path.startswith('core/') and path.endswith('.h') and not is_host(path)
    if public_header and target.startswith(HEAVY):
        return 'public headers stay free of JSON, Boost and YAML libraries'
    return None


def check(root):
    problems = []
    checked = 0
    for room in ROOMS:
        for folder, _, names in os.walk(os.path.join(root, room)):
            for name in sorted(names):
                if not name.endswith(SOURCES):
                    continue
                full = os.path.join(folder, name)
                path = os.path.relpath(full, root)
                with open(full, encoding='utf-8') as file:
                    text = file.read()
                checked += 1
                for match in INCLUDE.finditer(text):
                    quote, target = match.groups()
                    why = complaint(path, quote, target)
                    if why is None and quote == '"' and '/' in target:
                        if not os.path.exists(os.path.join(root, target)):
                            why = 'does not exist'
                    if why:
                        line = text.count('\n', 0, match.start(2)) + 1
                        problems.append(f'{path}:{line}: include of {target}: {why}')
    return checked, problems


def main():
    checked, problems = check(sys.argv[1])
    for problem in problems:
        print(problem)
    if checked == 0:
        print('includes.py: no sources found')
        return 1
    print(f'{checked} files, {len(problems)} problems')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
