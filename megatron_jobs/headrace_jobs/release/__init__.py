"""A release: a digest-locked folder that can be checked without a network. `bundle` builds it, `verify` checks it."""
