"""Containers as processes of this machine: the `PodBackend` for where there is no cluster.

    service ──creates──▶ pod folder (spec.json)
       │                       ▲ reads spec, writes log, status.json
       └──asks──▶ launcher ──forks──▶ supervisor (one per pod, own session) ──runs──▶ main

`folders`, `logfile`, `container`, `supervisor` and `launcher` run in those processes, which import nothing but the standard
library: this file must stay free of imports. `backend` is what the composition root makes; `store`, `launch`, `launching`,
`watch`, `reading` and `honour` serve it.
"""
