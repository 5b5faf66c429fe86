"""Runs are executed here: claimed by the executor, moved on by one actor each, their pods created and deleted in fair order."""
