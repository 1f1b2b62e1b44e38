#!/usr/bin/env python3
"""The same model in apr and in another engine, in turns, on the same processors.

  side_by_side.py --apr build/release/bench/bench_model MODEL.apr \\
                  --peer 'llama-bench -m MODEL.gguf -t {threads} -p {prefill} -n {decode} -r 1 -o json'

Rounds alternate between the engines, so that whatever else the machine does meets both alike. Ratios of
medians are what to quote; absolute figures belong to the machine and the hour. The peer is any command that
prints JSON: a list of llama-bench's entries (n_prompt, n_gen, avg_ts), or an object with
prefill_tokens_per_second and decode_tokens_per_second.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys


def run(command):
    done = subprocess.run(shlex.split(command), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"side_by_side: `{command}` ended with {done.returncode}:\n{done.stderr.strip()}")
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError as error:
        sys.exit(f"side_by_side: `{command}` did not print JSON ({error})")


def figure(value):
    return value["median"] if isinstance(value, dict) else value


def speeds(report):
    """(prefill, decode) in tokens per second from either form of report."""
    if isinstance(report, dict):
        return figure(report["prefill_tokens_per_second"]), figure(report["decode_tokens_per_second"])
    prefill = [entry["avg_ts"] for entry in report if entry["n_prompt"] > 0 and entry["n_gen"] == 0]
    decode = [entry["avg_ts"] for entry in report if entry["n_gen"] > 0 and entry["n_prompt"] == 0]
    if not prefill or not decode:
        sys.exit("side_by_side: the peer's report lacks a prefill or a decode entry")
    return prefill[0], decode[0]


def describe(values):
    return f"{statistics.median(values):9.1f}  ({min(values):.1f} to {max(values):.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the model for apr")
    parser.add_argument("--apr", required=True, help="path of bench_model")
    parser.add_argument("--peer", help="command of the other engine; {threads} {prefill} {decode} are filled in")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mode", default="deterministic", choices=["exact", "deterministic", "fast"])
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")

    commands = {"apr": f"{shlex.quote(options.apr)} {shlex.quote(options.model)} --threads {options.threads} "
                       f"--prefill {options.prefill} --decode {options.decode} --mode {options.mode} --repeat 1"}
    if options.peer:
        commands["peer"] = options.peer.format(
            threads=options.threads, prefill=options.prefill, decode=options.decode)

    figures = {name: {"prefill": [], "decode": []} for name in commands}
    for number in range(options.rounds):
        for name in list(commands) if number % 2 == 0 else reversed(list(commands)):
            prefill, decode = speeds(run(commands[name]))
            figures[name]["prefill"].append(prefill)
            figures[name]["decode"].append(decode)

    load = os.getloadavg()[0]
    if options.json:
        print(json.dumps({"load_average": load, "threads": options.threads, "figures": figures}, indent=2))
        return
    print(f"{options.threads} threads, load average {load:.1f}, {options.rounds} rounds; tokens/s, median (range)")
    for what in ("prefill", "decode"):
        for name in commands:
            print(f"  {what:8}{name:6}{describe(figures[name][what])}")
        if "peer" in commands:
            ratio = statistics.median(figures["apr"][what]) / statistics.median(figures["peer"][what])
            print(f"  {what:8}ratio {ratio:9.2f}")


if __name__ == "__main__":
    main()
