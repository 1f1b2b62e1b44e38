"""Links between the documents, and paths of the project named in them, exist.

usage: check_links.py PROJECT_FOLDER
"""
import pathlib
import re
import sys

project = pathlib.Path(sys.argv[1])
documents = [project / 'README.md', *sorted((project / 'docs').glob('*.md'))]
problems = []
links = 0


def anchor(heading):
    return re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')


for document in documents:
    text = document.read_text(encoding='utf-8')
    outside_code = re.sub(r'^```.*?^```$', '', text, flags=re.M | re.S)
    for target in re.findall(r'\]\(([^)\s]+)\)', outside_code):
        if re.match(r'[a-z]+:', target):
            continue
        links += 1
        path, _, part = target.partition('#')
        file = (document.parent / path).resolve() if path else document
        if not file.exists():
            problems.append(f'{document.relative_to(project)}: {target} does not exist')
        elif part and file.suffix == '.md':
            anchors = {anchor(h) for h in re.findall(r'^#+ (.*)$', file.read_text(encoding='utf-8'), re.M)}
            if part not in anchors:
                problems.append(f'{document.relative_to(project)}: {target}: no such heading')
    # `core/base/json.h`, `tests/sdk/searched`: a path in code style must be there.
    for path in re.findall(r'`((?:core|plugins|orchestrator|runtime|tests|scripts|golden|pipelines|docs|bench|cmake)'
                           r'/[\w./-]+)`', outside_code):
        if not (project / path).exists():
            problems.append(f'{document.relative_to(project)}: `{path}` does not exist')

for problem in problems:
    print(problem)
if links == 0:
    problems.append('no links found')
print(f'{len(documents)} documents, {links} links, {len(problems)} problems')
sys.exit(1 if problems else 0)
