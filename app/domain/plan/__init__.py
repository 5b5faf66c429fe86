"""The plan: what a run does next, given what happened. Pure; the executor's run actor asks it (`plan.plan` is its door).

plan ─▶ task_flow, requests, approvals, expression_flow, recovery ─▶ attempt_flow ─▶ run_state, decisions
"""
