import json
import os

from case import case
from fixtures import BUNDLED, checkpoint, data, do, file, folder, lines, model, small, tiny

TITLE = "Evaluation"


def task(wrong, code, *rows, options=""):
    return case(wrong, f"apr eval tiny.apr --task quiz.jsonl{options}", code, tiny, lines("quiz.jsonl", *rows))


GOOD = {"query": "2+2=", "choices": ["4", "5"], "gold": 0}


def question(**values):
    return {key: value for key, value in {**GOOD, **values}.items() if value is not None}


CASES = [
    case("measured nothing", "apr eval tiny.apr", 2, tiny),
    case("measured on two things at once", "apr eval tiny.apr --dataset a.txt --task quiz.jsonl", 2, tiny),
    case("gave a text that is not there", "apr eval tiny.apr --dataset text.txt", 3, tiny),
    case("mistyped the name of a dataset", "apr eval tiny.apr --dataset wikitext2", 3, tiny),
    case("named a dataset that is not on this machine", "apr eval tiny.apr --dataset wikitext-2", 3, tiny),
    case("gave a folder without the split", "apr eval tiny.apr --dataset texts --split valid", 3, tiny, folder("texts")),
    case("gave a device as a text", "apr eval tiny.apr --dataset /dev/null", 3, tiny),
    case("gave an empty text", "apr eval tiny.apr --dataset text.txt", 5, tiny, file("text.txt")),
    case("gave a text of one token", "apr eval tiny.apr --dataset text.txt", 5, tiny, file("text.txt", "a")),
    case("asked for a window that the model does not have", "apr eval tiny.apr --dataset text.txt --window 5000", 2, tiny,
         file("text.txt", "Some words to be read.")),
    case("asked for a stride beyond the window", "apr eval tiny.apr --dataset text.txt --window 64 --stride 100", 2, tiny,
         file("text.txt", "Some words to be read.")),
    case("compared with a model of another vocabulary", "apr eval tiny.apr --dataset text.txt --against small.apr --window 64", 5, tiny, small,
         file("text.txt", "Some words to be read.")),
    case("compared with a model that is not there", "apr eval tiny.apr --dataset text.txt --against parent.apr", 3, tiny,
         file("text.txt", "Some words to be read.")),
    case("measured a model with a NaN", "apr eval model --dataset text.txt", 8, file("text.txt", "Some words to be read."),
         checkpoint(tensors=lambda all: all["model.norm.weight"][1].__setitem__(0, float("nan")))),
    case("measured a model without a tokenizer", "apr eval model --dataset text.txt", 6, checkpoint(tokenizer=False),
         file("text.txt", "Some words to be read.")),
    case("gave questions that are not there", "apr eval tiny.apr --task quiz.jsonl", 3, tiny),
    task("gave no questions", 5),
    task("gave a question that is no JSON", 4, "What is 2+2?"),
    task("gave a question without a question", 4, question(query=None)),
    task("gave a question without choices", 4, question(choices=None)),
    task("gave a question with one choice", 4, question(choices=["4"])),
    task("gave a choice that is a number", 4, question(choices=["4", 5])),
    task("gave a question without an answer", 4, question(gold=None)),
    task("gave an answer that is none of the choices", 4, question(gold=7)),
    task("gave an answer in letters that there are not", 4, question(gold=None, answerKey="Z")),
    task("gave an empty choice", 4, question(choices=["4", ""]), options=" --delimiter ''"),
    task("gave a choice that is longer than the context", 5, question(choices=["4", "word " * 1500])),
    task("gave a stride to a task", 2, GOOD, options=" --stride 64"),
    task("compares on a task", 2, GOOD, options=" --against tiny.apr"),
    case("gave a text in another encoding", "apr eval tiny.apr --dataset text.txt", 4, tiny, file("text.txt", b"Caf\xe9 au lait, s'il vous pla\xeet.")),
    case("asked a model with a NaN for choices", "apr eval model --task quiz.jsonl", 8, lines("quiz.jsonl", GOOD),
         checkpoint(tensors=lambda all: all["model.norm.weight"][1].__setitem__(0, float("nan")))),
]
