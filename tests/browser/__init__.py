"""The page in a real browser against the real service, a person's story each."""
