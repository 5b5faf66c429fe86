"""What the service's HTTP side costs, beside a bare FastAPI service that does the least of the same."""
