"""Libraries that talk on standard error: silenced by name, each with its reason. Our own messages and all errors stay."""

from __future__ import annotations

import logging
import os
import warnings

_SETTINGS = {
    # Hugging Face: bars of files that are read from this disk, and a hint to set a variable after a fork.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    # Ray: how to import it, what it will change some day, and that usage statistics are not sent.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_LOGGERS = {
    # "Delete operation did not match any records" at the first commit of a slice, which is how a first commit looks.
    "pyiceberg": logging.ERROR,
    # Tells at INFO and WARNING which session it attaches to.
    "ray": logging.ERROR,
    "transformers": logging.ERROR,
    "huggingface_hub": logging.ERROR,
    # Retries of single requests; the last failure is raised and told.
    "botocore": logging.ERROR,
    "aiobotocore": logging.ERROR,
    "s3fs": logging.ERROR,
    # Pages that it cannot read are counted and kept in quarantine.
    "trafilatura": logging.CRITICAL,
    "matplotlib": logging.ERROR,
    "jieba": logging.ERROR,
}


def quiet_libraries() -> None:
    """Silence what is listed above; `HEADRACE_DEBUG=1` leaves everything as it is."""
    if os.environ.get("HEADRACE_DEBUG"):
        return
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name, level in _LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    if not os.environ.get("PYTHONWARNINGS"):
        # For developers of the libraries: deprecations and advice. A user can do nothing about them.
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("default", module="headrace_")  # ours are for the user
