"""What podrun costs on a real cluster, beside a bare client that makes the same pods; both watched from outside alike."""
