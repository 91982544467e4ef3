#!/usr/bin/env python3
"""Breaks the program in one place at a time and demands that the test named for it fails.

The breakages stand in the *.toml beside this file: which fault, what is broken in one sentence, the text to search for
and what to put in its place, and the test that has to notice. They are applied to a scratch worktree of the last commit
(and of what is not committed yet, as far as git knows the files), never to the checkout itself.

    tests/sharpness/run.py                 all of them
    tests/sharpness/run.py 3 16            those of these faults
    tests/sharpness/run.py --name floor    those whose name contains this
    tests/sharpness/run.py --program almanac-store:log    those of one test program
    tests/sharpness/run.py --list          only says what there is

CARGO is the command to build with (`cargo`). CARGO_TARGET_DIR is where the worktree is built (`target/sharpness`); it
is kept, so that the next run builds little. It must not be the checkout's own: cargo would take a broken program for
the sound one. Python 3.11 or newer, nothing else.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# A test that hangs tells nobody what is broken: it has a time limit of its own, well below this one.
LONGEST_TEST = 240

# The package whose tests drive the real binary, which is then built as well.
BINARY = "almanac-tests"

# Each breakage is built once and run once: what is broken here is not worth optimising.
QUICK = ["--config", "profile.dev.opt-level=0", "--config", "profile.dev.package.almanac-store.opt-level=0"]


@dataclass(frozen=True)
class Mutant:
    fault: int
    name: str
    breaks: str
    file: str
    search: str
    replace: str
    package: str
    target: str
    test: str

    @property
    def program(self) -> tuple[str, str]:
        """The test program: its package and its name, `lib` for the tests inside of the crate."""
        return self.package, self.target


def listed() -> list[Mutant]:
    """Every breakage, those of one test program beside each other."""
    found = []
    for path in sorted(HERE.glob("*.toml")):
        with path.open("rb") as file:
            found += [Mutant(**entry) for entry in tomllib.load(file)["mutant"]]
    return sorted(found, key=lambda mutant: (mutant.package == BINARY, mutant.program, mutant.fault))


def git(*arguments: str, folder: Path = ROOT) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def scratch_tree(target: Path) -> Path:
    """A worktree of the checkout as it is now."""
    tree = target / "tree"
    # A commit of what is changed and known to git, or nothing when nothing is.
    revision = git("stash", "create") or git("rev-parse", "HEAD")
    git("worktree", "prune")
    if not (tree / ".git").exists():
        git("worktree", "add", "--force", "--detach", str(tree), revision)
    git("checkout", "--force", "--detach", revision, folder=tree)
    return tree


class Workshop:
    """Builds and runs tests in the scratch worktree."""

    def __init__(self, tree: Path, target: Path):
        self.tree = tree
        self.cargo = shlex.split(os.environ.get("CARGO", "cargo"))
        self.environment = os.environ | {"CARGO_TARGET_DIR": str(target), "CARGO_INCREMENTAL": "1"}

    def build(self, package: str, target: str) -> tuple[Path | None, str]:
        """The test program (none when it does not build) and the words of cargo."""
        if target == "lib":
            arguments = ["test", "--no-run", "-p", package, "--lib"]
        else:
            # With the features of the whole workspace, as `make test` builds it.
            arguments = ["build", "--workspace", "--test", target]
            arguments += ["--bin", "almanac"] if package == BINARY else []
        done = subprocess.run(
            [*self.cargo, *arguments, *QUICK, "--locked", "--message-format", "json-render-diagnostics"],
            cwd=self.tree, env=self.environment, capture_output=True, text=True, errors="replace",
        )
        artefacts = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
        # Two packages may have a test program of the same name.
        folder = package.removeprefix("almanac-")
        programs = [
            Path(artefact["executable"]) for artefact in artefacts
            if artefact.get("executable") and artefact["profile"]["test"]
            and Path(artefact["manifest_path"]).parent.name == folder
        ]
        return (programs[0] if done.returncode == 0 and programs else None), done.stderr

    def test(self, program: Path, package: str, tests: list[str]) -> tuple[int | None, str]:
        """The status (none when time ran out) and what was said."""
        folder = self.tree / package.removeprefix("almanac-")
        with subprocess.Popen(
            [program, "--exact", *tests], cwd=folder, env=self.environment, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        ) as running:
            try:
                said, _ = running.communicate(timeout=LONGEST_TEST)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                said, _ = running.communicate()
                return None, said
        return running.returncode, said


def verdict(workshop: Workshop, mutant: Mutant) -> tuple[str, str]:
    """What became of one breakage, and the words of cargo."""
    path = workshop.tree / mutant.file
    sound = path.read_text()
    if sound.count(mutant.search) != 1:
        return "does not apply", f"the text to search for is there {sound.count(mutant.search)} times"
    path.write_text(sound.replace(mutant.search, mutant.replace))
    try:
        program, said = workshop.build(*mutant.program)
        if program is None:
            return "does not build", said
        status, said = workshop.test(program, mutant.package, [mutant.test])
    finally:
        path.write_text(sound)
    if status is None:
        return "hangs", said
    if f"test {mutant.test} ... FAILED" in said:
        return "killed", said
    return "SURVIVES", said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", type=int, help="numbers of faults; all when there is none")
    parser.add_argument("--name", default="", help="only those whose name contains this")
    parser.add_argument("--program", default="", help="only those of this test program, as package:name")
    parser.add_argument("--list", action="store_true", help="says what there is and does nothing")
    parser.add_argument("--trust", action="store_true", help="does not look first whether the tests pass on sound code")
    options = parser.parse_args()
    mutants = [
        mutant for mutant in listed()
        if options.name in mutant.name
        and (not options.faults or mutant.fault in options.faults)
        and options.program in ("", ":".join(mutant.program))
    ]
    if options.list:
        for mutant in mutants:
            print(f"{mutant.fault:02} {mutant.name}\n   {mutant.breaks}\n   {mutant.package} {mutant.target} {mutant.test}")
        return 0
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "sharpness")).resolve()
    if target == (ROOT / "target").resolve():
        sys.exit("CARGO_TARGET_DIR must not be the checkout's own: cargo would take a broken program for the sound one")
    workshop = Workshop(scratch_tree(target), target)
    logs = target / "said"
    logs.mkdir(exist_ok=True)

    rows, unsound = [], set()
    for number, mutant in enumerate(mutants, 1):
        began = time.monotonic()
        first_of_program = all(mutant.program != earlier.program for earlier in mutants[: number - 1])
        if first_of_program and not options.trust:
            tests = sorted({other.test for other in mutants if other.program == mutant.program})
            program, said = workshop.build(*mutant.program)
            status, said = workshop.test(program, mutant.package, tests) if program else (1, said)
            if status != 0:
                (logs / f"sound-{mutant.package}-{mutant.target}.txt").write_text(said)
                unsound.add(mutant.program)
        if mutant.program in unsound:
            outcome, said = "fails on sound code", ""
        else:
            outcome, said = verdict(workshop, mutant)
        (logs / f"{mutant.fault:02}-{mutant.name}.txt").write_text(said)
        seconds = time.monotonic() - began
        print(f"[{number}/{len(mutants)}] {mutant.fault:02} {mutant.name}: {outcome} ({seconds:.0f} s)", flush=True)
        rows.append((mutant, outcome))

    print("\nfault  killed  breakage, and the test that has to notice")
    for mutant, outcome in sorted(rows, key=lambda row: (row[0].fault, row[0].name)):
        killed = "yes" if outcome == "killed" else "NO"
        print(f"{mutant.fault:>5}  {killed:<6}  {mutant.breaks}\n{'':15}{mutant.test}")
        if outcome != "killed":
            print(f"{'':15}{outcome}: {logs}/{mutant.fault:02}-{mutant.name}.txt")
    alive = sum(outcome != "killed" for _, outcome in rows)
    print(f"\n{len(rows) - alive} of {len(rows)} breakages are noticed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
