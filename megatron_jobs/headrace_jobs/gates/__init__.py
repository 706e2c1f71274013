"""Go or No-Go: `policy` (the YAML), `judge` (rules against evidence), `decide` (who signed what, and whether it still holds)."""
