"""Audit: the removal audit, the drop-rate guard, what-if, the ledger, document traces and reports."""
