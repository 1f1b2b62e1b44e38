"""Words that are wrong: exit code 2, one sentence, the right suggestion."""
import framework


def test_unknown_verb_with_a_near_one(t):
    t.fails(2, "inspct", "x", says="unknown verb 'inspct'", hint="did you mean 'inspect'?")


def test_unknown_verb_far_from_all(t):
    t.fails(2, "frobnicate", says="unknown verb 'frobnicate'", hint="`apr help` lists the verbs")


def test_unknown_second_word(t):
    t.fails(2, "plugins", "lst", says="unknown verb 'plugins lst'", hint="did you mean 'plugins list'?")


def test_missing_second_word(t):
    t.fails(2, "plugins", says="list, info, verify")


def test_first_word_of_a_two_word_verb_mistyped(t):
    t.fails(2, "plugin", "list", hint="did you mean 'plugins'?")


def test_unknown_option(t):
    t.fails(2, "inspect", "x", "--jsn", says="has no option '--jsn'", hint="did you mean '--json'?")


def test_options_are_never_guessed_from_their_beginning(t):
    t.fails(2, "convert", "x", "--quant", "int4", says="'--quant'", hint="did you mean '--quantize'?")


def test_unknown_letter(t):
    t.fails(2, "inspect", "-z", "x", says="'-z'")


def test_unknown_option_before_the_verb(t):
    t.fails(2, "--jsn", "inspect", "x", says="'--jsn'")


def test_missing_argument(t):
    t.fails(2, "inspect", says="needs MODEL", hint="apr inspect --help")


def test_missing_required_option(t):
    t.fails(2, "convert", "x.apr", "--quantize", "int4", says="needs -o, --output")


def test_too_many_arguments(t):
    t.fails(2, "inspect", "a", "b", says="'b'")


def test_option_without_its_value(t):
    t.fails(2, "tensors", "a", "--limit", says="'--limit' needs a value")


def test_option_followed_by_an_option(t):
    t.fails(2, "tensors", "a", "--filter", "--json", says="'--filter' needs a value", hint="--filter=VALUE")


def test_option_followed_by_a_letter(t):
    t.fails(2, "convert", "a", "--quantize", "-o", "b", says="'--quantize' needs a value")


def test_value_that_looks_like_an_option(t):
    t.tiny()
    t.fails(3, "tensors", "tiny.apr", "--filter=--json", says="'--json'")
    t.fails(3, "tensors", "tiny.apr", "--filter", "-7", says="'-7'")


def test_flag_with_a_value(t):
    t.fails(2, "inspect", "a", "--quantization=yes", says="takes no value")


def test_option_twice(t):
    t.fails(2, "convert", "a", "--quantize", "int4", "--quantize", "int8", "-o", "b", says="given twice")


def test_number_that_is_none(t):
    t.fails(2, "tensors", "a", "--limit", "many", says="'many' is not a whole number")


def test_negative_number_is_a_value_and_out_of_range(t):
    t.fails(2, "tensors", "a", "--limit", "-1", says="must be at least 0, not -1")


def test_number_out_of_range(t):
    t.fails(2, "validate", "a", "--min-score", "101", says="between 0 and 100")


def test_bad_thread_count(t):
    t.fails(2, "inspect", "a", "--threads", "-3", says="--threads")


def test_double_dash_ends_options(t):
    t.fails(3, "inspect", "--", "--json", says="--json: there is no such file")


def test_equals_sign_and_adjacent_letter(t):
    t.fails(3, "convert", "nope.apr", "--quantize=int4", "-oout.apr", says="nope.apr")


def test_global_options_before_the_verb(t):
    t.contains(t.run("--json", "inspect", "nope.apr", code=3).out, '"error"')


def test_value_of_a_global_option_is_not_the_verb(t):
    t.fails(3, "--threads", "2", "inspect", "nope.apr", says="nope.apr")
    t.path("validate").mkdir()
    t.fails(3, "--plugin-path", "validate", "inspect", "nope.apr", says="nope.apr")


def test_errors_as_json(t):
    run = t.run("inspect", "nope.apr", "--json", code=3)
    error = run.json()["error"]
    t.equal(error["code"], "not_found")
    t.equal(error["exit_code"], 3)
    t.equal(error["context"], "nope.apr")
    t.contains(run.err, "apr: error: nope.apr")


def test_usage_errors_as_json(t):
    error = t.run("inspct", "--json", code=2).json()["error"]
    t.equal(error["code"], "usage")
    t.contains(error["hint"], "inspect")


def test_control_characters_of_a_name_do_not_reach_the_terminal(t):
    run = t.fails(3, "inspect", "evil\x1b[31m.apr", says="no such file")
    t.lacks(run.err, "\x1b")


def test_json_without_a_verb(t):
    report = t.json(code=2)
    t.equal(report["error"]["exit_code"], 2)
    t.contains(t.run(code=2).err, "Usage: apr VERB")


framework.main(globals())
