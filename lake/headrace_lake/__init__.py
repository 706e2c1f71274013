"""Tables, shards, receipts, passports and the stage engine."""
