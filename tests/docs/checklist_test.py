"""Every row of tests/checklist.yaml names tests or benchmarks that exist, or says why there are none yet."""
import pathlib
import re
import sys

SOURCE = pathlib.Path(sys.argv[1])
ROWS = {"A": 6, "B": 5, "C": 8, "D": 5, "E": 4, "F": 10, "G": 10, "H": 25, "I": 20, "J": 25}


def rows_of(text):
    """The list of flat maps that the file is; no YAML reader is needed for it."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        item = re.fullmatch(r'    - "(.*)"', line)
        field = re.fullmatch(r'(- |  )(\w+):(?: "?(.*?)"?)?', line)
        if item:
            rows[-1][rows[-1]["last"]].append(item[1])
        elif field:
            if field[1] == "- ":
                rows.append({})
            rows[-1][field[2]] = field[3] if field[3] else []
            rows[-1]["last"] = field[2]
        else:
            sys.exit(f"tests/checklist.yaml:{number}: cannot be read: {line}")
    return rows


def exists(name):
    file, _, test = name.partition(": ")
    path = SOURCE / file
    if not path.is_file():
        return False
    if not test:
        return True
    text = path.read_text()
    if file.endswith(".py"):
        return re.search(rf"^def {re.escape(test)}\(", text, re.M) is not None
    return f'TEST_CASE("{test}"' in re.sub(r'"\s*\n\s*"', "", text)


def problems_of(rows):
    found = []
    wanted = [f"{section}{n}" for section, count in ROWS.items() for n in range(1, count + 1)]
    if [row.get("id") for row in rows] != wanted:
        found.append(f"the rows are not {wanted[0]} ... {wanted[-1]} in order")
    for row in rows:
        proofs = row.get("tests", []) + row.get("bench", [])
        if not row.get("claim"):
            found.append(f"{row.get('id')}: no claim")
        if bool(proofs) == bool(row.get("not_yet")):
            found.append(f"{row.get('id')}: wants tests, a bench or the reason why not yet")
        found += [f"{row.get('id')}: there is no {name!r}" for name in proofs if not exists(name)]
    return found


rows = rows_of((SOURCE / "tests" / "checklist.yaml").read_text())
problems = problems_of(rows)
# The check itself must be able to fail.
rows[0]["tests"] = ["tests/cli/test_inspect.py: test_that_nobody_wrote"]
if not any("test_that_nobody_wrote" in problem for problem in problems_of(rows)):
    problems.append("a test that does not exist was not noticed")
for problem in problems:
    print(problem)
held = sum(1 for row in rows if not row.get("not_yet"))
print(f"{held} of {len(rows)} rows are held by tests or benchmarks")
sys.exit(1 if problems else 0)
