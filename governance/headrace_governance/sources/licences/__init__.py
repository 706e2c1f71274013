"""Licences: duties derived from SPDX expressions, what records say about theirs, and the policy on what may be kept.

Lives here: the rules (`rules.yaml`), terms of an expression, statements of records, the policy and its one check of a source. The
decision about a page or record is `crawl/licence.py`; recipes and releases ask `LicencePolicy.recorded` again.
"""

from headrace_governance.sources.licences.policy import (
    NO_ASSERTION,
    LicenceLink,
    LicencePolicy,
    load_licence_policy,
    records_speak,
    require_licence,
)
from headrace_governance.sources.licences.rules import CLASSES, DUTIES, Duty, LicenceClass
from headrace_governance.sources.licences.statements import bare_address, licences_in, read_statement
from headrace_governance.sources.licences.terms import Terms, accepts, implied, terms_of

__all__ = [
    "CLASSES", "DUTIES", "NO_ASSERTION", "Duty", "LicenceClass", "LicenceLink", "LicencePolicy", "Terms", "accepts", "bare_address",
    "implied", "licences_in", "load_licence_policy", "read_statement", "records_speak", "require_licence", "terms_of",
]  # fmt: skip
