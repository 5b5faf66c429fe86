"""Measurements of the service's own cost: what it takes of a core and of the event loop. Run by people, never by the tests."""
