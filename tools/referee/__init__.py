"""What a referee or a reviewer runs: verify, its certificate, the comparison of a pull request."""
