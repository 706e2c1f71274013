"""spaCy, imported without PyTorch.

thinc, on which spaCy's models stand, imports PyTorch wherever that is installed: 2.6 s of a processor and 200 MB for each process that
counts words (thinc 8.3, torch 2.13, an EPYC with AVX2). Neither tokenisers nor the small English model use it. A release of thinc that
imports PyTorch where a model asks for it would let this go.
"""

from __future__ import annotations

import sys
from typing import Any


def import_spacy() -> Any:
    """The module `spacy`; where PyTorch is loaded already, nothing is done about it."""
    if "spacy" not in sys.modules and "torch" not in sys.modules:
        sys.modules["torch"] = None  # type: ignore[assignment]  # `import torch` raises ImportError, which thinc takes for "not installed"
        try:
            import spacy
        finally:
            del sys.modules["torch"]
    import spacy

    return spacy
