"""Byte-level BPE over Arrow buffers: pre-tokens, merges and a memory of pre-tokens, compiled by numba."""
