import os

from case import case
from fixtures import do, file, folder, model, setup, small, tiny

TITLE = "Files and folders"
CASES = [
    case("named a model that is not there", "apr inspect model.apr", 3),
    case("mistyped a model's name", "apr inspect modle.apr", 3, model("model.apr")),
    case("followed a link that leads nowhere", "apr inspect link.apr", 3, do(lambda p: os.symlink("gone.apr", p), "link.apr")),
    case("named a folder without a model", "apr inspect empty", 3, folder("empty")),
    case("named a device", "apr inspect /dev/null", 3),
    case("named a pipe", "apr tensors pipe", 3, do(os.mkfifo, "pipe")),
    case("named an empty file", "apr inspect model.apr", 4, file("model.apr")),
    case("named a picture as a model", "apr inspect cat.png", 4, file("cat.png", b"\x89PNG\r\n\x1a\n" + bytes(100))),
    case("named a text as a model", "apr run notes.txt Hello", 4, file("notes.txt", "Things to do\n" * 20)),
    case("gave a folder's file with a path that is too long", "apr inspect $(printf 'x%.0s' {1..300})", 7,
         hide=[("x{300}", "xxx...xxx")]),
    case("would overwrite a file", "apr convert tiny.apr --quantize int8 -o out.apr", 5, tiny, model("out.apr", "small.apr")),
    case("would overwrite the input itself", "apr convert tiny.apr --quantize int8 -o tiny.apr", 5, tiny),
    case("gave a folder as the output file", "apr convert tiny.apr --quantize int8 -o out --force", 5, tiny, folder("out")),
    case("gave an output in a folder that is not there", "apr convert tiny.apr --quantize int8 -o there/out.apr", 3, tiny),
    case("gave an output below a file", "apr convert tiny.apr --quantize int8 -o tiny.apr/out.apr", 7, tiny),
    case("gave a device as the output", "apr convert tiny.apr --quantize int8 -o /dev/null", 7, tiny),
    case("gave an empty name as the output", "apr convert tiny.apr --quantize int8 -o ''", 2, tiny),
    case("exported into a folder that holds something", "apr export tiny.apr -o out", 5, tiny, file("out/notes.txt", "mine")),
    case("forced an export into a folder that holds something else", "apr export tiny.apr -o out --force", 5, tiny,
         file("out/notes.txt", "mine")),
    case("exported onto a file", "apr export tiny.apr -o out", 5, tiny, file("out", "mine")),
    case("exported to an empty name", "apr export tiny.apr -o ''", 2, tiny),
    case("exported into a folder that is not there", "apr export tiny.apr -o there/out", 3, tiny),
    case("would overwrite a trace", "apr trace tiny.apr --prompt Hi -o golden", 5, tiny, file("golden/golden.json", "{}")),
    case("would overwrite a canary", "apr canary create tiny.apr -o c.json", 5, tiny, file("c.json", "{}")),
    case("would overwrite a playbook", "apr probador playbook create mine.yaml", 5, file("mine.yaml", "")),
    case("would overwrite a pipeline", "apr-pipeline init demo.yaml", 5, file("demo.yaml", "")),
    case("would overwrite a drawing", "apr graph tiny.apr --format dot -o net.dot", 5, tiny, file("net.dot", "")),
    case("gave apr-runtime a model that is not there", "apr-runtime model.apr Hello", 3),
    case("gave apr-runtime a folder", "apr-runtime . Hello", 3),
]
