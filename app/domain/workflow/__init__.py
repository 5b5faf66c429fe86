"""The workflow document: its keys, all that may be wrong with one, and the nodes that it stands for (`nodes.Workflow`).

parsing ─▶ document (models), checks, expression_checks, graph ─▶ reading, merging ─▶ nodes
rendering: from a node and the values of its expressions to the task that is run
"""
