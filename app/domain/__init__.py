"""What podrun is about, without any I/O: workflows, phases, pods as observed, and the plan that moves a run on.

Everything here is a pure function or a value. No clock is read, nothing is awaited; callers pass `now` in.
"""
