"""What one entry of the catalogue is."""
import dataclasses


@dataclasses.dataclass
class Case:
    wrong: str          # what the user did, in a phrase
    command: str        # what the user typed, for bash
    code: int           # the exit code that it must have
    prepare: tuple      # functions that get the entry's folder before the command runs
    hide: tuple         # (expression, replacement): what differs between machines
    says: str = ""      # which standard streams are shown: "err", "out" or "both"
    person: bool = False       # permissions hold, for root too
    interrupt: bool = False    # Ctrl-C once it works
    area: str = ""


def case(wrong, command, code, *prepare, hide=(), show="err", person=False, interrupt=False):
    return Case(wrong, command, code, prepare, tuple(hide), show, person, interrupt)
