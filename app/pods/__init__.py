"""Where pods run: the port that the executor speaks to, and its two implementations, Kubernetes and this machine."""
