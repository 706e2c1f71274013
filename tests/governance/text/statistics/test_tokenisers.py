"""What a process loads and believes when it counts words: no PyTorch, no dictionary that others may write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from headrace_governance.text.statistics.tokenisers import words_of
for language in ("en", "zh", "de"):
    words_of(language)
print(sorted({"torch", "spacy", "jieba"} & set(sys.modules)))
"""


def test_counting_words_loads_no_pytorch_and_reads_no_dictionary_of_the_temporary_folder(tmp_path: Path) -> None:
    forged = tmp_path / "jieba.cache"
    forged.write_bytes(b"not marshal")
    os.utime(forged, (2**31, 2**31))  # newer than jieba's own file, so that it would be taken
    environment = os.environ | {"TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "['jieba', 'spacy']"
    assert "jieba.cache" not in done.stderr and forged.read_bytes() == b"not marshal"
