"""Runs commands one after another, each a few times in turn, and prints wall time, processor time and peak memory as a table.

usage: measure.py RUNS NAME=COMMAND [NAME=COMMAND ...]

Commands are interleaved (A B C A B C ...), so a machine that drifts slows all of them alike. Memory is the peak
resident set of the largest process of the command, as the operating system accounts it; processor time leaves out what goes
on without the command's processes, such as a database, and tells the work from the waiting on a busy machine.
"""
import os
import statistics
import subprocess
import sys
import time


def run(command):
    begin = time.perf_counter()
    process = subprocess.Popen(["bash", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    if status != 0:
        sys.exit(f"failed: {command}\n{errors.decode(errors='replace')[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    runs = int(sys.argv[1])
    commands = [argument.split("=", 1) for argument in sys.argv[2:]]
    figures = {name: [] for name, _ in commands}
    for _ in range(runs):
        for name, command in commands:
            figures[name].append(run(command))
    print(f"| command ({runs} runs each, interleaved) | wall s, median (min-max) | processor s, median (min-max) | peak MB |")
    print("|---|---|---|---|")
    for name, _ in commands:
        walls, busy, memory = zip(*figures[name])
        spread = lambda times: f"{statistics.median(times):.2f} ({min(times):.2f}-{max(times):.2f})"
        print(f"| {name} | {spread(walls)} | {spread(busy)} | {max(memory):.0f} |")


main()
