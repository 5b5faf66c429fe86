"""Evaluates expressions in processes of their own, so that none can stall the service or take its memory.

    evaluator.py   the door: jobs, taken in turns ─▶ lane.py ─▶ process.py ══ pipe ══ worker.py ─▶ compute.py ─▶ CEL

The executor and the use cases call it; it knows neither. Nothing is imported here: the worker imports this package, and must be
small and start fast.
"""
