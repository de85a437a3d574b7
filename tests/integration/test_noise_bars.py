"""The bars of promotion under noise, through the real engine: twenty seeded studies of 400 trials each."""

import re
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks/noise.py"


def test_noise_is_not_promoted_and_two_deviations_are() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--smoke"], capture_output=True, text=True, check=False)
    bars = re.search(r"false in (\d+) of 20 studies .* found in (\d+) of 20", done.stdout)
    assert bars, done.stdout + done.stderr
    assert int(bars[1]) <= 1
    assert int(bars[2]) >= 16
    assert done.returncode == 0
    equal = re.search(r"^equal, normal noise +0\.\.19 .* (\d+\.\d) in (\d+)/20", done.stdout, re.MULTILINE)
    assert equal, done.stdout
    assert float(equal[1]) > 2.0, "keep-if-better keeps noise several times a study, on the same streams"
    assert int(equal[2]) >= 19, "and in almost every study"
