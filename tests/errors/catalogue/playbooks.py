from case import case
from fixtures import file, folder, tiny

TITLE = "Playbooks"
GOOD = "name: mine\nsteps:\n  - command: apr --version\n"


def check(wrong, text, code=5, show="both"):
    return case(wrong, "apr probador playbook validate mine.yaml", code, file("mine.yaml", text), show=show)


def step(wrong, text, code=5):
    return check(wrong, "name: mine\nsteps:\n" + text)


def run(wrong, text, code=5):
    return case(wrong, "apr probador playbook run mine.yaml", code, file("mine.yaml", text), show="both",
                hide=[(r"\b[0-9.]+ [mµ]?s\b", "… s"), (r"lacks 'apr 99'.*", "lacks 'apr 99'"), (r"^      apr \d.*", "      apr VERSION")])


CASES = [
    case("ran a playbook that is not there", "apr probador playbook run mine.yaml", 3),
    case("listed a folder without playbooks", "apr probador playbook list books", 3, folder("books")),
    case("asked for a category that there is not", "apr probador playbook run mine.yaml --category sad", 3, file("mine.yaml", GOOD)),
    case("ran a playbook with a model that is not there", "apr probador playbook run mine.yaml --model model.apr", 3, file("mine.yaml", GOOD)),
    case("validated what is not there", "apr probador playbook validate mine.yaml", 3),
    case("created a playbook in a folder that is not there", "apr probador playbook create there/mine.yaml", 3),
    case("ran a playbook that has mistakes", "apr probador playbook run mine.yaml", 4, file("mine.yaml", "name: mine\n")),
    check("wrote no YAML", "name: [mine\n"),
    check("wrote an empty playbook", ""),
    check("wrote a list", "- apr --version\n"),
    check("mistyped a field", GOOD.replace("steps", "step")),
    check("gave no name and no steps", "description: nothing\n"),
    check("named a runner that there is not", "runner: browser\n" + GOOD),
    check("gave a timeout that is no time", "timeout: soon\n" + GOOD),
    check("gave files as a list", "files: [a]\n" + GOOD),
    check("gave a file outside of the folder", "files: {../a: x}\n" + GOOD),
    check("gave steps as a text", "name: mine\nsteps: apr --version\n"),
    check("gave a category as a list", "category: [a]\n" + GOOD),
    step("gave a step as a text", "  - apr --version\n"),
    step("mistyped a step's field", "  - {comand: apr --version}\n"),
    step("named an action that there is not", "  - {command: apr --version, action: click}\n"),
    step("gave a step without a command", "  - {action: run}\n"),
    step("asserts before anything was run", "  - {action: assert, output_contains: apr}\n"),
    step("gave an assertion a command", "  - {command: apr --version}\n  - {action: assert, command: apr --version}\n"),
    step("checks nothing", "  - {command: apr --version}\n  - {action: assert}\n"),
    step("never closed a quote", "  - {command: \"apr run 'Hello\"}\n"),
    step("gave an empty command", "  - {command: ' '}\n"),
    step("ran another program", "  - {command: rm -r files}\n"),
    step("gave an exit code that is none", "  - {command: apr --version, expect_exit: 300}\n"),
    step("gave an expression that is none", "  - {command: apr --version, output_matches: '(apr'}\n"),
    step("gave an environment as a text", "  - {command: apr --version, environment: A=1}\n"),
    step("expects some output, but says no", "  - {command: apr --version, output_not_empty: false}\n"),
    step("runs in a folder outside of the session", "  - {command: apr --version, folder: ../there}\n"),
    step("expects an empty text", "  - {command: apr --version, expect_output: ''}\n"),
    step("gave no time at all", "  - {command: apr --version, max_seconds: 0}\n"),
    step("gave a time that is none", "  - {command: apr --version, max_seconds: soon}\n"),
    run("expects another exit code", "name: mine\nsteps:\n  - {command: apr inspect none.apr, expect_exit: 4}\n"),
    run("expects what is not said", "name: mine\nsteps:\n  - {command: apr --version, expect_output: apr 99}\n"),
    case("lets a step run out of time", "apr probador playbook run mine.yaml --model tiny.apr", 5, tiny, file(
        "mine.yaml", "name: mine\nsteps:\n  - {command: apr bench model.apr --repeat 10000, timeout: 300ms}\n"), show="both",
        hide=[(r"\b[0-9.]+ [mµ]?s\b", "… s")]),
]
