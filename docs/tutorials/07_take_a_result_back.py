"""A winner that is too good: look at what is behind it, excise it, go on without it, take the excision back.

Run it anywhere: python docs/tutorials/07_take_a_result_back.py
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# A shop chooses a price and how much to order.
PROBLEM = """
goal = "Earn the most with one order."

[objective]
metric = "profit"
direction = "maximize"
unit = "euros"

[parameters.price]
type = "float"
low = 1.0
high = 50.0
default = 8.0

[parameters.quantity]
type = "integer"
low = 1
high = 100
default = 30

[evaluator]
entry = "evaluator.py"

[budget]
trials = 60

[limits]
wall_seconds = 5
cpu_seconds = 5
memory_mb = 512
"""

# There is a slip in the table of costs: the last row lacks its sign, so whoever orders 90 or more is paid for it.
EVALUATOR = """
COST_OF_A_UNIT = {0: 6.0, 20: 5.0, 50: 4.5, 90: -4.0}


def evaluate(candidate, seed):
    price, quantity = candidate.parameters["price"], candidate.parameters["quantity"]
    wanted = max(0.0, 100.0 - 4.0 * price)
    cost = next(cost for least, cost in reversed(COST_OF_A_UNIT.items()) if quantity >= least)
    return {"profit": min(quantity, wanted) * price - quantity * cost}
"""


BELIEVABLE = 500  # euros: the most that this shop can earn, by rule of thumb


def consilience(*arguments: str) -> None:
    """Run one command as a user would, and show it."""
    print(f"\n$ consilience {shlex.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", "consilience", *arguments], check=True)  # noqa: S603  our own command


def ask(*arguments: str) -> Any:
    """Return the data of a command's --json."""
    words = [sys.executable, "-m", "consilience", *arguments, "--json"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603  our own command
    return json.loads(done.stdout.splitlines()[-1])["data"]


def first_cheat(shop: str) -> str:
    """Return the number of the first trial that earned more than anybody can."""
    rows = [json.loads(line) for line in (Path(shop) / "trials.jsonl").read_text().splitlines()]
    return str(min(row["number"] for row in rows if row["metrics"]["profit"] > BELIEVABLE))


def main() -> None:
    """Find the cheat, preview, excise, look, take back, and go on."""
    with tempfile.TemporaryDirectory() as parent:
        shop = str(Path(parent) / "shop")
        Path(shop).mkdir()
        (Path(shop) / "problem.toml").write_text(PROBLEM.lstrip())
        (Path(shop) / "evaluator.py").write_text(EVALUATOR.lstrip())
        consilience("run", shop, "-q")

        # Nobody earns that much. What is behind the number?
        consilience("why", "best", "-p", shop)
        consilience("export", str(Path(shop) / "trials.jsonl"), "-p", shop)
        cheat = first_cheat(shop)

        # What would go if that trial went: its candidate, all that was built on it, each verdict that compared with it.
        reason = "the table of costs pays for orders of 90 and more"
        consilience("excise", cheat, "-p", shop, "--reason", reason, "--dry-run")

        # Done, and taken back: the board is what it was. Both are events; nothing is deleted.
        before = ask("board", "-p", shop)["rankings"]
        excision = ask("excise", cheat, "-p", shop, "--reason", reason)["event"]
        without = ask("board", "-p", shop)["rankings"]
        consilience("excise", "--withdraw", excision[:16], "-p", shop, "--reason", "to see it come back")
        again = ask("board", "-p", shop)["rankings"]
        print(f"\nAnother board without it: {without != before}. The same board as before: {again == before}.")

        # In earnest. Its trials stay spent, so going on takes a larger total. It is not proposed again, but its like
        # might be: a bound keeps that out. (To mend the evaluator is better; that makes another problem.)
        consilience("excise", cheat, "-p", shop, "--reason", reason)
        consilience("run", shop, "--trials", "90", "--bound", str(BELIEVABLE), "-q")
        consilience("board", "-p", shop, "--top", "5")
        consilience("verify", "-p", shop)


if __name__ == "__main__":
    main()
