#!/usr/bin/env python3
"""Plants forbidden includes in a made-up tree: each must be found, and nothing else."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import includes  # noqa: E402

FINE = {
    'core/base/a.h': '#include <string>\n#include "core/base/b.h"\n',
    'core/base/b.h': '// #include "plugins/arch/x/x.h"\n',
    'core/base/b.cpp': '#include <nlohmann/json.hpp>\n',
    'core/platform/lock.h': '#include <mutex>\n',
    'core/plugin/host.cpp': '#include <filesystem>\n#include <boost/dll.hpp>\n',
    'plugins/arch/x/x.h': '#include "core/base/a.h"\n',
    'plugins/arch/x/x.cpp': '#include "plugins/arch/x/x.h"\n',
    'plugins/arch/y/y.h': '',
    'orchestrator/stages/s.h': '#include "core/base/a.h"\n#include <iostream>\n',
    'orchestrator/cli/c.cpp': '#include "orchestrator/stages/s.h"\n',
    'runtime/main.cpp': '#include "core/base/a.h"\n',
}
FORBIDDEN = [
    ('core/base/c.cpp', '#include "plugins/arch/x/x.h"'),
    ('core/base/c.cpp', '#  include  "orchestrator/stages/s.h"'),
    ('core/base/c.cpp', '#include "a.h"'),
    ('core/base/c.cpp', '#include "core/base/none.h"'),
    ('core/base/c.cpp', '#include <filesystem>'),
    ('core/base/c.h', '#include <nlohmann/json.hpp>'),
    ('core/base/c.h', '#include <boost/config.hpp>'),
    ('core/runtime/c.cpp', '#include <thread>'),
    ('plugins/arch/x/z.cpp', '#include "plugins/arch/y/y.h"'),
    ('plugins/arch/x/z.cpp', '#include "orchestrator/stages/s.h"'),
    ('plugins/arch/x/z.cpp', '#include <fstream>'),
    ('orchestrator/cli/d.cpp', '#include "plugins/arch/x/x.h"'),
    ('orchestrator/cli/d.cpp', '#include "tests/x.h"'),
    ('runtime/d.cpp', '#include "plugins/arch/x/x.h"'),
]


def problems_with(extra):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**FINE, **extra}.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'w', encoding='utf-8') as file:
                file.write(text)
        return includes.check(root)[1]


failed = 0
if problems_with({}):
    print('complains about a sound tree:', problems_with({}))
    failed += 1
for path, line in FORBIDDEN:
    found = problems_with({path: '\n' + line + '\n'})
    if len(found) != 1 or not found[0].startswith(path + ':2: '):
        print(f'{path}: {line}: expected one problem in line 2, got {found}')
        failed += 1
print(f'{len(FORBIDDEN)} forbidden includes, {failed} not found')
sys.exit(1 if failed else 0)
