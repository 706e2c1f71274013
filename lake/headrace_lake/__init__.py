"""The ground: tables, shards, receipts, passports and the stage engine."""
