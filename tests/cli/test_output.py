"""What goes where: standard output, standard error, files, signals."""
import os
import pty
import signal
import subprocess
import time

import checkpoints
import framework


def test_every_report_is_one_json_document(t):
    t.tiny()
    for words in [["inspect", "tiny.apr"], ["tensors", "tiny.apr"], ["tensors", "tiny.apr", "--stats"],
                  ["validate", "tiny.apr", "--quality"], ["convert", "tiny.apr", "--quantize", "int8", "-o", "a.apr"],
                  ["quantize", "tiny.apr", "-s", "int4", "-o", "b.apr"], ["export", "tiny.apr", "-o", "hf"],
                  ["export", "--list-formats"], ["plugins", "list"], ["plugins", "info", "quantizer_block"],
                  ["plugins", "verify"], ["import", framework.BUNDLED, "-o", "c.apr"], ["help"], ["--version"]]:
        run = t.ok(*words, "--json")
        run.json()
        t.equal(run.err, "", f"standard error of {words[0]}")


def test_full_disk_behind_standard_output(t):
    t.tiny()
    with open("/dev/full", "w") as full:
        for words in [["inspect", "tiny.apr"], ["tensors", "tiny.apr", "--json"], ["help"], ["--version"],
                      ["inspect", "tiny.apr", "--json"], ["help", "--markdown"]]:
            t.fails(7, *words, stdout=full, says="standard output could not be written")


def test_output_on_a_full_disk(t):
    t.tiny()
    for words in [[], ["--force"]]:
        t.fails(7, "convert", "tiny.apr", "--quantize", "int4", "-o", "/dev/full", *words, says="/dev/full")
    t.check(os.path.exists("/dev/full"), "/dev/full is gone")


def test_output_in_a_missing_folder(t):
    t.tiny()
    run = t.run("convert", "tiny.apr", "--quantize", "int4", "-o", "no/such/folder/x.apr")
    t.check(run.code in (3, 7), "exit code", run)
    t.contains(run.err, "no/such/folder")
    t.equal(t.files(), ["tiny.apr"])


def test_output_that_is_a_folder(t):
    t.tiny()
    t.path("there").mkdir()
    for words in [[], ["--force"]]:
        run = t.run("convert", "tiny.apr", "--quantize", "int4", "-o", "there", *words)
        t.check(run.code in (5, 7), "exit code", run)
    t.equal(list(t.path("there").iterdir()), [])


def test_closed_pipe_ends_quietly(t):
    t.tiny()
    done = subprocess.run(f"'{framework.PROGRAM}' tensors tiny.apr --json | head -c 10; echo ${{PIPESTATUS[0]}}",
                          shell=True, executable="/bin/bash", cwd=t.folder, capture_output=True, text=True)
    t.equal(done.stderr, "", "standard error")


def test_colour_only_on_a_terminal(t):
    t.tiny()
    t.lacks(t.ok("inspect", "tiny.apr").out, "\x1b")

    def on_terminal(**env):
        parent, child = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        done = subprocess.run([framework.PROGRAM, "inspect", "tiny.apr"], cwd=t.folder, stdout=child,
                              env=dict(environment, TERM="xterm", **env))
        os.close(child)
        t.equal(done.returncode, 0)
        text = b""
        while True:
            try:
                piece = os.read(parent, 65536)
            except OSError:
                break
            if not piece:
                break
            text += piece
        os.close(parent)
        return text.decode()

    t.contains(on_terminal(), "\x1b[")
    t.lacks(on_terminal(NO_COLOR="1"), "\x1b")


def test_quiet_and_verbose(t):
    t.tiny()
    t.equal(t.ok("inspect", "tiny.apr", "-q").err, "")
    t.contains(t.ok("inspect", "tiny.apr", "-v").err, "took", "peak memory", "plugins searched in")


def test_interrupt_stops_and_leaves_nothing(t):
    """A source large enough to be still at work when the signal comes."""
    tensors = {name: (shape, floats) for name, (shape, floats) in checkpoints.weights().items()}
    source = checkpoints.write_folder(t.path("src"), tensors)
    big = 400 << 20  # a sparse tail makes the file long without filling the disk
    with open(source / "model.safetensors", "rb") as file:
        raw = file.read()
    import json
    import struct
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    length = len(raw) - 8 - size
    header["model.layers.0.rotary_emb.inv_freq"] = {"dtype": "F32", "shape": [big // 4],
                                                    "data_offsets": [length, length + big]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(source / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + raw[8 + size:])
        file.truncate(8 + len(text) + length + big)
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen([framework.PROGRAM, "tensors", source, "--stats", "--threads", "1"],
                                   cwd=t.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        if process.returncode == 0:
            raise framework.Skip("the work was done before the signal came")
        if process.returncode == -number:
            raise framework.Skip("the signal came before the program was ready")
        t.equal(process.returncode, 130)
        t.contains(err.decode(), "apr: error: ")
    t.equal(t.files(), ["src"])


def test_export_round_trip_is_exact(t):
    t.tiny()
    t.ok("export", "tiny.apr", "-o", "hf")
    t.ok("import", "hf", "-o", "again.apr", "--name", "apr-tiny-chat")
    stats = lambda name: {x["name"]: x["stats"] for x in t.json("tensors", name, "--stats")["tensors"]}
    t.equal(stats("again.apr"), stats("tiny.apr"))


def test_export_refuses_to_overwrite(t):
    t.tiny()
    t.path("hf").mkdir()
    (t.path("hf") / "mine.txt").write_text("precious")
    t.fails(5, "export", "tiny.apr", "-o", "hf", hint="--force")
    t.equal((t.path("hf") / "mine.txt").read_text(), "precious")


def test_export_formats(t):
    t.contains(t.ok("export", "--list-formats").out, "safetensors")
    t.tiny()
    t.fails(3, "export", "tiny.apr", "--format", "safetensor", "-o", "x", hint="did you mean 'safetensors'?")
    t.fails(2, "export", "tiny.apr", says="--output")
    t.fails(2, "export", says="MODEL")


framework.main(globals())
