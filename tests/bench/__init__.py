"""The benchmarks: ours and its peer side by side, in turn, on the same server (`make bench`)."""
