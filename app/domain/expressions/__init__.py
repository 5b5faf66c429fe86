"""Expressions in a workflow document: where they stand, what they name, what is wrong with them. Evaluating them is not here.

`app.expressions` evaluates them, in worker processes, with the same language (`cel_functions`).
"""
