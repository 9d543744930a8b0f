"""Many trials: `python tests/run_torture.py --seeds 1000`, or one: `--seed 17`.

Prints a line for each that fails, and what all of them survived. Exit code 1 when
any failed.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from torture import Verdict, told, trial
from torture_plan import PATIENT


def play(seed: int, keep: Path | None = None) -> Verdict:
    """One trial in a folder of its own."""
    if keep is not None:
        keep.mkdir(parents=True)
        return trial(seed, keep)
    with tempfile.TemporaryDirectory(prefix=f"torture-{seed}-") as folder:
        return trial(seed, Path(folder))


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many trials")
    parser.add_argument("--first", type=int, default=PATIENT, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--keep", type=Path, help="its folder, to be looked at")
    parser.add_argument("--jobs", type=int, default=2, help="trials at once")
    return parser.parse_args()


def main() -> int:
    """Plays them all."""
    given = arguments()
    seeds = range(given.first, given.first + given.seeds)
    if given.seed is not None:
        seeds = range(given.seed, given.seed + 1)
    began = time.monotonic()
    verdicts: list[Verdict] = []
    failed: list[int] = []
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        pending = {pool.submit(play, seed, given.keep): seed for seed in seeds}
        for done in as_completed(pending):
            try:
                verdict = done.result()
            except Exception as error:
                failed.append(pending[done])
                say(f"seed {pending[done]}: the trial itself broke: {error!r}")
                continue
            verdicts.append(verdict)
            if verdict.complaints:
                failed.append(verdict.plan.seed)
                say(told(verdict))
    say(json.dumps(summed(verdicts, failed, time.monotonic() - began), indent=2))
    return 1 if failed else 0


def say(text: str) -> None:
    """Prints at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def summed(
    verdicts: list[Verdict], failed: list[int], seconds: float
) -> dict[str, object]:
    """What all trials come to."""
    struck = sum((verdict.struck for verdict in verdicts), Counter[str]())
    codes = Counter(str(code) for verdict in verdicts for code in verdict.codes)
    return {
        "trials": len(verdicts),
        "failed": sorted(failed),
        "runs": sum(len(verdict.codes) for verdict in verdicts),
        "cells": sum(verdict.cells for verdict in verdicts),
        "calls": sum(verdict.calls for verdict in verdicts),
        "kills": sum(verdict.kills for verdict in verdicts),
        "most_repeated": max((verdict.repeated for verdict in verdicts), default=0),
        "exit_codes": dict(sorted(codes.items())),
        "struck": dict(sorted(struck.items())),
        "minutes": round(seconds / 60, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
