"""Use cases: submit, cancel, delete, and what users may read of runs. Knows no HTTP: `app.api` calls it, and tests do."""
